//! Clock, sockets and netlink: the only code that asks the operating system for anything.
//!
//! | file | what |
//! | --- | --- |
//! | [`clock`] | the time, the only place that asks for it |
//! | [`interfaces`] | the table of network interfaces, kept fresh by netlink |
//! | [`packet_socket`] | ARP frames of one interface (`AF_PACKET`), unsafe |
//! | [`udp`] | datagrams between speakers |
//! | [`memory`] | how the allocator uses memory, unsafe |
//! | [`inbox`] | desired state handed to a thread, and what such a thread waits for |

pub mod clock;
pub mod inbox;
pub mod interfaces;
pub mod memory;
pub mod packet_socket;
pub mod udp;
