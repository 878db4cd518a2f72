//! Listening sockets: one a worker and bind, sharing the address by SO_REUSEPORT.
//!
//! They are bound in one step and listen in another, so that nothing is accepted before the snapshot that serves it
//! is in place. A first bind without SO_REUSEPORT finds an address that another process has: with it the second bind
//! would succeed and the two would share the traffic.

use std::io;
use std::net::SocketAddr;

use socket2::{Domain, Protocol, Socket, Type};

/// Connections that wait in the kernel, for each worker.
const BACKLOG: i32 = 1024;

/// Binds `workers` sockets that do not listen yet.
pub(crate) fn bind(at: SocketAddr, workers: usize) -> Result<Vec<Socket>, String> {
    let probe = socket(at, false).map_err(|e| words(at, &e))?;
    drop(probe);
    (0..workers).map(|_| socket(at, true).map_err(|e| words(at, &e))).collect()
}

/// Starts to listen.
pub(crate) fn listen(socket: Socket) -> io::Result<std::net::TcpListener> {
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

fn socket(at: SocketAddr, share: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(at), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if at.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_port(share)?;
    socket.set_nonblocking(true)?;
    socket.bind(&at.into())?;
    Ok(socket)
}

/// What is wrong and what to do.
fn words(at: SocketAddr, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            let owner = owner(at).map(|who| format!(" by {who}")).unwrap_or_default();
            format!("{at} is in use{owner}: stop that process, or give the listener another port or address")
        }
        io::ErrorKind::PermissionDenied => format!(
            "{at} may not be bound by this user: use a port from 1024 on, or grant CAP_NET_BIND_SERVICE to the binary"
        ),
        io::ErrorKind::AddrNotAvailable => {
            format!("{at} is not an address of this machine: give the Gateway one that is")
        }
        _ => format!("{at} cannot be bound: {error}"),
    }
}

/// The process that listens there, as far as /proc shows it.
fn owner(at: SocketAddr) -> Option<String> {
    let port = format!(":{:04X}", at.port());
    let mut inodes = Vec::new();
    for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
        let text = std::fs::read_to_string(table).unwrap_or_default();
        for line in text.lines().skip(1) {
            let fields: Vec<&str> = line.split_ascii_whitespace().collect();
            if let [_, local, _, "0A", _, _, _, _, _, inode, ..] = fields.as_slice()
                && local.ends_with(&port)
            {
                inodes.push(format!("socket:[{inode}]"));
            }
        }
    }
    let processes = std::fs::read_dir("/proc").ok()?.flatten();
    for process in processes.filter(|p| p.file_name().to_string_lossy().bytes().all(|b| b.is_ascii_digit())) {
        let Ok(descriptors) = std::fs::read_dir(process.path().join("fd")) else { continue };
        let links = descriptors.flatten().filter_map(|fd| std::fs::read_link(fd.path()).ok());
        if links.into_iter().any(|link| inodes.iter().any(|inode| link.as_os_str() == inode.as_str())) {
            let name = std::fs::read_to_string(process.path().join("comm")).unwrap_or_default();
            return Some(format!("{} (process {})", name.trim(), process.file_name().to_string_lossy()));
        }
    }
    None
}
