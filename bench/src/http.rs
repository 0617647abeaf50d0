//! HTTP/1.1 as a server speaks it, as far as the subjects need it.

use std::io::{self, BufRead, BufReader, Read, Write};

/// A request, read whole.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Request {
    /// A header's value; names are in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }
}

/// What is answered.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Vec<u8>,
}

impl Response {
    pub(crate) fn new(status: u16, kind: &str, body: impl Into<Vec<u8>>) -> Self {
        Self { status, headers: vec![("content-type", kind.to_owned())], body: body.into() }
    }
}

/// Answers the requests of a connection one after the other, until the other side is gone.
pub(crate) fn serve(connection: impl Read + Write, answer: impl Fn(&Request) -> Response) -> io::Result<()> {
    let mut connection = BufReader::new(connection);
    while let Some(request) = read(&mut connection)? {
        let Response { status, headers, body } = answer(&request);
        let mut bytes = format!("HTTP/1.1 {status} \r\ncontent-length: {}\r\n", body.len()).into_bytes();
        for (name, value) in headers {
            bytes.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
        }
        bytes.extend_from_slice(b"\r\n");
        bytes.extend_from_slice(&body);
        connection.get_mut().write_all(&bytes)?;
        connection.get_mut().flush()?;
    }
    Ok(())
}

/// Reads a request; nothing where the connection ended before it.
pub(crate) fn read(connection: &mut impl BufRead) -> io::Result<Option<Request>> {
    let Some(first) = line(connection)? else { return Ok(None) };
    let mut words = first.split(' ');
    let (Some(method), Some(path)) = (words.next(), words.next()) else { return Err(bad(&first)) };
    let mut headers = Vec::new();
    while let Some(text) = line(connection)?.filter(|text| !text.is_empty()) {
        let (name, value) = text.split_once(':').ok_or_else(|| bad(&text))?;
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let mut request = Request { method: method.to_owned(), path: path.to_owned(), headers, body: Vec::new() };
    if request.header("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked")) {
        loop {
            let size = line(connection)?.ok_or(io::ErrorKind::UnexpectedEof)?;
            let size =
                usize::from_str_radix(size.split(';').next().unwrap_or_default().trim(), 16).map_err(|_| bad(&size))?;
            let start = request.body.len();
            request.body.resize(start + size, 0);
            connection.read_exact(&mut request.body[start..])?;
            line(connection)?;
            if size == 0 {
                break;
            }
        }
    } else if let Some(length) = request.header("content-length") {
        let length = length.parse().map_err(|_| bad(length))?;
        request.body.resize(length, 0);
        connection.read_exact(&mut request.body)?;
    }
    Ok(Some(request))
}

/// A line without its end; nothing where the connection ended before it.
fn line(connection: &mut impl BufRead) -> io::Result<Option<String>> {
    let mut text = String::new();
    if connection.read_line(&mut text)? == 0 {
        return Ok(None);
    }
    text.truncate(text.trim_end_matches(['\r', '\n']).len());
    Ok(Some(text))
}

fn bad(text: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("not HTTP: {text:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A connection with what the client sends, and what it gets.
    struct Both<'a>(&'a [u8], Vec<u8>);

    impl Read for Both<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.0.read(buffer)
        }
    }

    impl Write for Both<'_> {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.1.write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn bodies(sent: &str) -> Vec<String> {
        let seen = std::cell::RefCell::new(Vec::new());
        serve(Both(sent.as_bytes(), Vec::new()), |request| {
            seen.borrow_mut().push(format!(
                "{} {} {}",
                request.method,
                request.path,
                String::from_utf8_lossy(&request.body)
            ));
            Response::new(200, "text/plain", "ok")
        })
        .expect("served");
        seen.into_inner()
    }

    #[test]
    fn requests_of_one_connection_are_told_apart_by_their_length_or_their_chunks() {
        let sent = "POST /a HTTP/1.1\r\nContent-Length: 2\r\n\r\nhiPOST /b HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nyo\r\n1\r\nu\r\n0\r\n\r\nGET /c HTTP/1.1\r\n\r\n";
        assert_eq!(bodies(sent), ["POST /a hi", "POST /b you", "GET /c "]);
    }

    #[test]
    fn what_is_not_http_is_refused() {
        let refused = serve(Both(b"nonsense\r\n\r\n", Vec::new()), |_| Response::new(200, "text/plain", ""));
        assert!(refused.is_err());
    }
}
