//! Reading HTTP/1.1 off a socket, strictly, where the other side may stop at any byte.

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

/// A head with its empty line; `None` where the connection ends first.
pub(super) async fn head(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<String> {
    loop {
        if let Some(end) = buffer.windows(4).position(|four| four == b"\r\n\r\n") {
            let rest = buffer.split_off(end + 4);
            let head = std::mem::replace(buffer, rest);
            return Some(String::from_utf8_lossy(&head).into_owned());
        }
        fill(stream, buffer).await.then_some(())?;
    }
}

/// The payload of the body that a head announces (none without a word about it), into `got`.
/// Returns whether it came whole.
pub(super) async fn body(
    stream: &mut TcpStream,
    buffer: &mut Vec<u8>,
    head: &str,
    got: &mut Vec<u8>,
) -> bool {
    if field(head, "transfer-encoding").is_some() {
        loop {
            let Some(line) = line(stream, buffer).await else { return false };
            let Ok(size) = usize::from_str_radix(line.trim(), 16) else { return false };
            if size == 0 {
                break;
            }
            if !take(stream, buffer, size, got).await || line_end(stream, buffer).await.is_none() {
                return false;
            }
        }
        while let Some(trailer) = line(stream, buffer).await {
            if trailer == "\r\n" {
                return true;
            }
        }
        return false;
    }
    let length = field(head, "content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    take(stream, buffer, length, got).await
}

/// The value of a field.
pub(super) fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(field, _)| field.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.trim())
}

/// Reads to the end of the connection, however it comes.
pub(super) async fn drain(stream: &mut TcpStream, buffer: &mut Vec<u8>) {
    while fill(stream, buffer).await {}
}

async fn line_end(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<()> {
    (line(stream, buffer).await? == "\r\n").then_some(())
}

async fn line(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<String> {
    loop {
        if let Some(end) = buffer.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = buffer.drain(..=end).collect();
            return String::from_utf8(line).ok();
        }
        fill(stream, buffer).await.then_some(())?;
    }
}

async fn take(
    stream: &mut TcpStream,
    buffer: &mut Vec<u8>,
    length: usize,
    got: &mut Vec<u8>,
) -> bool {
    let mut left = length;
    loop {
        let part = left.min(buffer.len());
        got.extend(buffer.drain(..part));
        left -= part;
        if left == 0 {
            return true;
        }
        if !fill(stream, buffer).await {
            return false;
        }
    }
}

async fn fill(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> bool {
    stream.read_buf(buffer).await.is_ok_and(|read| read > 0)
}
