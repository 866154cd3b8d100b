//! Clock, sockets and netlink: the only code that asks the operating system for anything,
//! and the only unsafe code.
//!
//! | file | what |
//! | --- | --- |
//! | [`bfd`], [`echo`] | Control and echo packets of BFD |
//! | [`clock`] | the time, the only place that asks for it |
//! | [`interfaces`] | the table of network interfaces, kept fresh by netlink |
//! | [`packet_socket`] | ARP or NDP frames of one interface (`AF_PACKET`) |
//! | [`filter`] | which of these frames the kernel hands over |
//! | [`groups`] | membership in multicast groups, by which NDP asks |
//! | [`thread`] | being on time |
//! | [`udp`] | datagrams between speakers |
//! | [`inbox`] | desired state handed to a thread, and what such a thread waits for |

pub mod bfd;
pub mod clock;
pub mod echo;
pub mod filter;
pub mod groups;
pub mod inbox;
pub mod interfaces;
pub mod packet_socket;
pub mod thread;
pub mod udp;
