//! What the kernel lets this process do.

use std::fs;

/// The number of CAP_NET_ADMIN, `capabilities(7)`.
const NET_ADMIN: u32 = 12;

/// Whether this process may make interfaces. If that cannot be read, trying will tell.
pub fn has_net_admin() -> bool {
    let status = fs::read_to_string("/proc/thread-self/status");
    status.ok().and_then(|status| effective(&status)).is_none_or(|set| set >> NET_ADMIN & 1 == 1)
}

/// The set of effective capabilities, `proc_pid_status(5)`.
fn effective(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
    u64::from_str_radix(line.trim(), 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_effective_set_is_read_among_the_others() {
        let status = "Name:\tferrolb\nCapPrm:\t0000000000000000\nCapEff:\t0000000000003000\n";
        assert_eq!(effective(status), Some(0x3000));
        assert_eq!(effective("Name:\tferrolb\n"), None);
    }
}
