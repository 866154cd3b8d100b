//! Clock, sockets and netlink: the only code that asks the operating system for anything,
//! and the only unsafe code.
//!
//! | file | what |
//! | --- | --- |
//! | [`addresses`] | addresses of the interface that a connection leaves by |
//! | [`bfd`], [`echo`] | Control and echo packets of BFD |
//! | [`clock`] | the time, the only place that asks for it |
//! | [`capability`] | what the kernel lets this process do |
//! | [`gateways`] | the default gateways, kept fresh by netlink |
//! | [`interfaces`] | the table of network interfaces, kept fresh by netlink |
//! | [`macvlan`] | interfaces with an Ethernet address of their own |
//! | [`packet_socket`] | ARP or NDP frames of one interface (`AF_PACKET`) |
//! | [`filter`] | which of these frames the kernel hands over |
//! | [`groups`] | membership in multicast groups, by which NDP asks |
//! | [`http_status`] | what an HTTP server says, as far as its status code |
//! | [`tcp`] | connections with routers |
//! | [`thread`] | being on time |
//! | [`udp`] | datagrams between speakers |
//! | [`memory`] | how the allocator uses memory, unsafe |
//! | [`inbox`] | desired state handed to a thread, and what such a thread waits for |

pub mod addresses;
pub mod bfd;
pub mod capability;
pub mod clock;
pub mod echo;
pub mod filter;
pub mod gateways;
pub mod groups;
pub mod http_status;
pub mod inbox;
pub mod interfaces;
pub mod macvlan;
pub mod memory;
pub mod packet_socket;
pub mod tcp;
pub mod thread;
pub mod udp;
