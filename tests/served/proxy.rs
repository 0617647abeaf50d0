//! A proxy on loopback, as companies have one.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// What the proxy does with a request.
#[derive(Clone)]
pub(crate) enum Answer {
    /// It relays the request to this address.
    Relay(String),
    /// It answers CONNECT with this status.
    Status(&'static str),
    /// It says that there is a tunnel, which leads nowhere.
    #[allow(dead_code, reason = "not every test that has a proxy needs it")]
    Nowhere,
    /// It reads the request and says nothing.
    #[allow(dead_code, reason = "not every test that has a proxy needs it")]
    Silence,
    /// It says that there is a tunnel, in which nobody answers.
    #[allow(dead_code, reason = "not every test that has a proxy needs it")]
    SilentTunnel,
}

/// A proxy.
pub(crate) struct Proxy {
    pub(crate) address: String,
    /// The first line of each request, and its `Proxy-Authorization`.
    asked: Arc<Mutex<Vec<(String, String)>>>,
}

impl Proxy {
    pub(crate) fn start(answer: Answer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let recorded = Arc::clone(&asked);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (answer, recorded) = (answer.clone(), Arc::clone(&recorded));
                std::thread::spawn(move || drop(serve(client, &answer, &recorded)));
            }
        });
        Self { address, asked }
    }

    /// What it was asked since the last time.
    pub(crate) fn asked(&self) -> Vec<(String, String)> {
        std::mem::take(&mut self.asked.lock().expect("no panic"))
    }
}

/// One connection: the head of its first request, and the answer.
fn serve(client: TcpStream, answer: &Answer, recorded: &Mutex<Vec<(String, String)>>) -> std::io::Result<()> {
    let mut reader = BufReader::new(client.try_clone()?);
    let mut client = client;
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head)? > 0 {}
    // A client that opens a connection drops it unused if another one is free before.
    if head.is_empty() {
        return Ok(());
    }
    let mut lines = head.lines();
    let first = lines.next().unwrap_or_default().to_owned();
    let password = lines
        .filter_map(|line| line.split_once(": "))
        .find(|(name, _)| name.eq_ignore_ascii_case("proxy-authorization"));
    recorded.lock().expect("no panic").push((first, password.map(|(_, value)| value.to_owned()).unwrap_or_default()));
    match answer {
        Answer::Status(status) => write!(client, "HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n"),
        Answer::Nowhere => write!(client, "HTTP/1.1 200 Connection established\r\n\r\n"),
        Answer::Silence => std::io::copy(&mut reader, &mut std::io::sink()).map(drop),
        Answer::SilentTunnel => {
            write!(client, "HTTP/1.1 200 Connection established\r\n\r\n")?;
            std::io::copy(&mut reader, &mut std::io::sink()).map(drop)
        }
        Answer::Relay(to) => {
            let mut server = TcpStream::connect(to)?;
            server.write_all(head.as_bytes())?;
            let (mut from, mut back) = (server.try_clone()?, client.try_clone()?);
            let answers = std::thread::spawn(move || drop(std::io::copy(&mut from, &mut back)));
            let mut chunk = [0; 8192];
            while let read @ 1.. = reader.read(&mut chunk)? {
                server.write_all(&chunk[..read])?;
            }
            drop(answers.join());
            Ok(())
        }
    }
}
