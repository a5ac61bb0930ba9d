//! A load balancer of the simplest kind, as stands before several gateways: TCP, in turns, past those that are not ready.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// One gateway behind it.
#[derive(Clone)]
pub struct Behind {
    /// Where connections go.
    pub address: String,
    /// Its operations plane, asked with `GET /readyz?plane=partner` before each connection.
    pub operations: String,
}

/// Listens on the loopback and goes on until the process ends; its address.
pub fn start(gateways: Vec<Behind>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    let (gateways, turn) = (Arc::new(gateways), Arc::new(AtomicUsize::new(0)));
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let (gateways, turn) = (gateways.clone(), turn.clone());
            std::thread::spawn(move || {
                let first = turn.fetch_add(1, Ordering::SeqCst);
                let mut candidates = (0..gateways.len()).map(|n| &gateways[(first + n) % gateways.len()]);
                let chosen = candidates.find_map(|gateway| {
                    is_ready(&gateway.operations).then(|| TcpStream::connect(&gateway.address).ok()).flatten()
                });
                // None: the client finds its connection closed.
                if let Some(server) = chosen {
                    join(&client, &server);
                }
            });
        }
    });
    address
}

/// Whether a gateway says that it takes messages.
pub fn is_ready(operations: &str) -> bool {
    let ask = || -> std::io::Result<bool> {
        let mut line = TcpStream::connect(operations)?;
        line.set_read_timeout(Some(Duration::from_secs(5)))?;
        line.write_all(b"GET /readyz?plane=partner HTTP/1.1\r\nhost: balancer\r\nconnection: close\r\n\r\n")?;
        let mut answer = Vec::new();
        line.read_to_end(&mut answer)?;
        Ok(answer.starts_with(b"HTTP/1.1 200"))
    };
    ask().unwrap_or(false)
}

/// Carries bytes both ways until both sides have ended.
fn join(client: &TcpStream, server: &TcpStream) {
    let way = |from: &TcpStream, to: &TcpStream| {
        let (Ok(mut from), Ok(mut to)) = (from.try_clone(), to.try_clone()) else { return };
        let _ = std::io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Write);
    };
    std::thread::scope(|scope| {
        scope.spawn(|| way(client, server));
        way(server, client);
    });
}
