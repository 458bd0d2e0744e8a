//! std::net::TcpStream, with and without a time limit, and without blocking. Usage: tcp_stream HOST:PORT…
//!
//! A line of words for each target: what came back, or the kind of the error. Exit status 1 if there was one.

use std::env::args;
use std::io::{ErrorKind, Read, Result, Write};
use std::net::{Shutdown, SocketAddr, TcpStream, ToSocketAddrs};
use std::process::exit;
use std::thread;
use std::time::Duration;

fn echo(mut stream: TcpStream, word: &str) -> Result<String> {
    stream.write_all(word.as_bytes())?;
    stream.shutdown(Shutdown::Write)?;
    let mut heard = String::new();
    stream.read_to_string(&mut heard)?;
    if heard.is_empty() { Err(ErrorKind::UnexpectedEof.into()) } else { Ok(heard) }
}

/// A limit makes the library connect without blocking, and poll.
fn with_limit(addresses: &[SocketAddr]) -> Result<String> {
    let limit = Duration::from_secs(10);
    echo(TcpStream::connect_timeout(&addresses[0], limit)?, "limit")
}

fn without_blocking(addresses: &[SocketAddr]) -> Result<String> {
    let mut stream = TcpStream::connect(addresses)?;
    stream.set_nodelay(true)?;
    stream.set_nonblocking(true)?;
    stream.write_all(b"polling")?;
    let mut heard = [0; 7];
    let mut size = 0;
    while size < heard.len() {
        match stream.read(&mut heard[size..]) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(got) => size += got,
            Err(error) if error.kind() == ErrorKind::WouldBlock => thread::sleep(Duration::from_millis(1)),
            Err(error) => return Err(error),
        }
    }
    Ok(String::from_utf8_lossy(&heard).into())
}

fn main() {
    let mut status = 0;
    for target in args().skip(1) {
        let addresses: Vec<SocketAddr> = target.to_socket_addrs().expect("a name or an address").collect();
        // In a thread of its own: the library's state must not be one thread's.
        let plain = thread::spawn(move || TcpStream::connect(target).and_then(|stream| echo(stream, "plain")));
        let rest = [with_limit(&addresses), without_blocking(&addresses)];
        let mut words = Vec::new();
        for outcome in [plain.join().expect("no panic")].into_iter().chain(rest) {
            words.push(outcome.unwrap_or_else(|error| {
                status = 1;
                format!("{:?}", error.kind())
            }));
        }
        println!("{}", words.join(" "));
    }
    exit(status);
}
