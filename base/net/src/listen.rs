//! Listening sockets. An address that is taken is refused with words that say by whom and what to do.
//!
//! A socket is bound without `SO_REUSEPORT`: with it, a second process would bind the same port without an error and
//! take a share of the connections.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::net::{Ipv6Addr, SocketAddr};

use tokio::net::TcpListener;

/// Why an address cannot be listened on.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Somebody listens there already.
    #[error(
        "cannot listen on {address}: the port is taken{}; stop it, or choose another address with {option}",
        by(holder)
    )]
    Taken {
        /// The address asked for.
        address: SocketAddr,
        /// The process that holds it, as `name (pid 1)`, where the system tells.
        holder: Option<String>,
        /// The option that chooses the address.
        option: String,
    },
    /// The system refuses the address.
    #[error("cannot listen on {address}: {source}; choose another address with {option}")]
    Io {
        /// The address asked for.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
        /// The option that chooses the address.
        option: String,
    },
}

fn by(holder: &Option<String>) -> String {
    holder.as_ref().map_or(String::new(), |holder| format!(" by {holder}"))
}

/// Listens on `address`; `option` is the command line's option that chooses it, for the error.
/// Must be called within a tokio runtime.
pub fn bind(address: SocketAddr, option: &str) -> Result<TcpListener, ListenError> {
    let listener = std::net::TcpListener::bind(address).and_then(|listener| {
        listener.set_nonblocking(true)?;
        TcpListener::from_std(listener)
    });
    listener.map_err(|source| match source.kind() {
        io::ErrorKind::AddrInUse => ListenError::Taken { address, holder: holder(address), option: option.to_owned() },
        _ => ListenError::Io { address, source, option: option.to_owned() },
    })
}

/// The process that listens on `address`, where the system lets us see it.
fn holder(address: SocketAddr) -> Option<String> {
    let sockets: HashSet<String> = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|table| fs::read_to_string(table).ok())
        .flat_map(|table| listening_inodes(&table, address))
        .map(|inode| format!("socket:[{inode}]"))
        .collect();
    let processes = fs::read_dir("/proc").ok()?.filter_map(Result::ok);
    for pid in processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok()) {
        let Ok(files) = fs::read_dir(format!("/proc/{pid}/fd")) else { continue };
        let mut targets = files.filter_map(|file| fs::read_link(file.ok()?.path()).ok());
        if targets.any(|target| target.to_str().is_some_and(|target| sockets.contains(target))) {
            let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            return Some(format!("{} (pid {pid})", name.trim()));
        }
    }
    None
}

/// Inodes of the sockets in a table of `/proc/net/tcp*` that listen where `address` would clash with them.
fn listening_inodes(table: &str, address: SocketAddr) -> Vec<u64> {
    const LISTEN: &str = "0A";
    let inode = |line: &str| {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let (local, state, inode) = (fields.get(1)?, fields.get(3)?, fields.get(9)?);
        let (host, port) = local.split_once(':')?;
        let host = parse_host(host)?;
        let wanted = canonical(address);
        let clashes = host == wanted || host.is_unspecified() || wanted.is_unspecified();
        let same_port = u16::from_str_radix(port, 16).ok()? == address.port();
        (*state == LISTEN && same_port && clashes).then(|| inode.parse().ok())?
    };
    table.lines().skip(1).filter_map(inode).collect()
}

fn canonical(address: SocketAddr) -> Ipv6Addr {
    match address.ip() {
        std::net::IpAddr::V4(v4) if v4.is_unspecified() => Ipv6Addr::UNSPECIFIED,
        std::net::IpAddr::V4(v4) => v4.to_ipv6_mapped(),
        std::net::IpAddr::V6(v6) => v6,
    }
}

/// Addresses stand in the table as 32-bit words in the machine's byte order.
fn parse_host(hex: &str) -> Option<Ipv6Addr> {
    let word = |at: usize| Some(u32::from_str_radix(hex.get(at..at + 8)?, 16).ok()?.to_ne_bytes());
    if hex.len() == 8 {
        return Some(canonical(SocketAddr::new(std::net::Ipv4Addr::from(word(0)?).into(), 0)));
    }
    let mut octets = [0; 16];
    for (part, at) in octets.chunks_exact_mut(4).zip([0, 8, 16, 24]) {
        part.copy_from_slice(&word(at)?);
    }
    Some(octets.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_taken_port_names_its_holder_and_the_way_out() {
        for first in ["127.0.0.1:0", "0.0.0.0:0"] {
            let held = bind(first.parse().unwrap(), "--api-listen").unwrap();
            let mut address: SocketAddr = "127.0.0.1:0".parse().unwrap();
            address.set_port(held.local_addr().unwrap().port());
            let refused = bind(address, "--api-listen").unwrap_err().to_string();
            let name = fs::read_to_string("/proc/self/comm").unwrap();
            let expected = format!(
                "cannot listen on {address}: the port is taken by {} (pid {}); stop it, or choose another address with --api-listen",
                name.trim(),
                std::process::id()
            );
            // A thread of a test has a name of its own; the holder is named by its process.
            let process = fs::read_to_string(format!("/proc/{}/comm", std::process::id())).unwrap();
            assert_eq!(refused, expected.replace(name.trim(), process.trim()));
        }
    }

    #[tokio::test]
    async fn an_address_of_another_machine_is_refused_with_words() {
        let refused = bind("192.0.2.1:0".parse().unwrap(), "--admin-listen").unwrap_err().to_string();
        assert!(
            refused.starts_with("cannot listen on 192.0.2.1:0: ") && refused.ends_with("--admin-listen"),
            "{refused}"
        );
    }

    #[test]
    fn tables_of_sockets_are_read() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
             0: 0100007F:192B 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 11 1 0 100 0\n\
             1: 0100007F:192B 0100007F:9999 01 00000000:00000000 00:00000000 00000000     0        0 12 1 0 100 0\n\
             2: 0200007F:192B 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 13 1 0 100 0\n\
             3: 00000000000000000000000000000000:192B 00000000000000000000000000000000:0000 0A 0:0 00:0 0 0 0 14 1\n\
             4: broken\n";
        assert_eq!(listening_inodes(table, "127.0.0.1:6443".parse().unwrap()), [11, 14]);
        assert_eq!(listening_inodes(table, "[::1]:6443".parse().unwrap()), [14]);
        assert_eq!(listening_inodes(table, "0.0.0.0:6443".parse().unwrap()), [11, 13, 14]);
        assert_eq!(listening_inodes(table, "127.0.0.1:6444".parse().unwrap()), Vec::<u64>::new());
    }
}
