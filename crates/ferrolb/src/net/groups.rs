//! Membership in multicast groups of IPv6, so that switches let questions through to us.
//!
//! The kernel reports a membership to the LAN (MLD, RFC 3810) and lets the frames of the group in.
//! It is that of a socket, and what one socket may have is limited by `net.core.optmem_max`, so
//! there are several.

use std::collections::BTreeMap;
use std::io;
use std::net::Ipv6Addr;

use socket2::{Domain, Socket, Type};

/// Groups that are joined by one socket: the kernel looks through all of them when one more comes.
/// The smallest `net.core.optmem_max` in use, 20 kB, lets a socket have about twice as many.
const GROUPS_OF_ONE: usize = 200;

/// The groups that one interface is in because of us. They are left on drop.
#[derive(Debug)]
pub struct Groups {
    interface: u32,
    /// Each with the number of its groups. They receive nothing: no port is theirs.
    sockets: Vec<(Socket, usize)>,
    joined: BTreeMap<Ipv6Addr, usize>,
}

impl Groups {
    /// None yet, for the interface with this index.
    pub fn new(interface: u32) -> Self {
        Self { interface, sockets: Vec::new(), joined: BTreeMap::new() }
    }

    /// Joins a group, unless that was done before.
    ///
    /// # Errors
    ///
    /// What the kernel says, for one that the interface has no IPv6.
    pub fn join(&mut self, group: Ipv6Addr) -> io::Result<()> {
        if self.joined.contains_key(&group) {
            return Ok(());
        }
        // The last one first: if the limit is lower than ours, those before it are full.
        let with_room = self.sockets.iter().rposition(|(_, count)| *count < GROUPS_OF_ONE);
        let place = match with_room {
            Some(place) => match self.sockets[place].0.join_multicast_v6(&group, self.interface) {
                Err(error) if is_full(&error) => self.open(&group)?,
                result => result.map(|()| place)?,
            },
            None => self.open(&group)?,
        };
        self.sockets[place].1 += 1;
        self.joined.insert(group, place);
        Ok(())
    }

    /// Leaves a group, if it was joined.
    pub fn leave(&mut self, group: Ipv6Addr) {
        let Some(place) = self.joined.remove(&group) else { return };
        if let Some((socket, count)) = self.sockets.get_mut(place) {
            // It fails when the interface is gone, and the membership with it.
            let _ = socket.leave_multicast_v6(&group, self.interface);
            *count -= 1;
        }
    }

    /// Another socket, in `group`, and its place.
    fn open(&mut self, group: &Ipv6Addr) -> io::Result<usize> {
        let socket = Socket::new(Domain::IPV6, Type::DGRAM, None)?;
        socket.join_multicast_v6(group, self.interface)?;
        self.sockets.push((socket, 0));
        Ok(self.sockets.len() - 1)
    }
}

/// Whether a socket can have no more memberships.
fn is_full(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOBUFS | libc::ENOMEM))
}
