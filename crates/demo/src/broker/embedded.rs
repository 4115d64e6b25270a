//! The broker inside this process: rumqttd, behind a door that mends what it does not take.
//!
//! rumqttd 0.20 refuses client ids with a `/`, which MQTT allows and our contract uses (`utility/gateway`), and once it
//! has refused one, the next try of the same client ends all its connections. So the door puts a dot for each slash of
//! the client id before the broker sees it.

use std::{io, net::SocketAddr};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
};

/// The first packet of a connection has no reason to be longer.
const LONGEST_CONNECT: usize = 64 * 1024;

/// Starts the broker on the port `inner` and its door on `listener`. It says nothing when its port is taken, and nothing
/// but the end of the process stops it.
pub(super) fn start(listener: TcpListener, inner: u16) -> io::Result<std::thread::JoinHandle<bool>> {
    let config: rumqttd::Config = serde_json::from_value(serde_json::json!({
        "id": 0,
        "router": {
            "id": 0,
            "max_connections": 50,
            "max_outgoing_packet_count": 200,
            "max_segment_size": 10_485_760,
            "max_segment_count": 4,
        },
        "v5": { "demo": {
            "name": "demo",
            "listen": SocketAddr::from(([127, 0, 0, 1], inner)),
            "next_connection_delay_ms": 1,
            "connections": {
                "connection_timeout_ms": 5_000,
                "max_payload_size": 1_048_576,
                "max_inflight_count": 100,
                "dynamic_filters": true,
            },
        }},
    }))
    .map_err(io::Error::other)?;
    let thread = std::thread::spawn(move || rumqttd::Broker::new(config).start().is_ok());
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            tokio::spawn(pass(client, inner));
        }
    });
    Ok(thread)
}

/// One connection, to its end.
async fn pass(mut client: TcpStream, inner: u16) -> io::Result<()> {
    let mut packet = first_packet(&mut client).await?;
    without_slashes(&mut packet);
    let mut broker = TcpStream::connect(("127.0.0.1", inner)).await?;
    client.set_nodelay(true)?;
    broker.set_nodelay(true)?;
    broker.write_all(&packet).await?;
    copy_bidirectional(&mut client, &mut broker).await.map(drop)
}

async fn first_packet(client: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut packet = vec![client.read_u8().await?];
    let mut length = 0;
    for shift in [0, 7, 14] {
        let byte = client.read_u8().await?;
        packet.push(byte);
        length |= usize::from(byte & 0x7F) << shift;
        if byte & 0x80 == 0 {
            break;
        }
    }
    if length > LONGEST_CONNECT {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let head = packet.len();
    packet.resize(head + length, 0);
    client.read_exact(packet.get_mut(head..).unwrap_or_default()).await?;
    Ok(packet)
}

/// Makes the slashes of a CONNECT packet's client id dots; leaves alone what it cannot read.
fn without_slashes(packet: &mut [u8]) {
    for byte in client_id(packet).unwrap_or_default() {
        if *byte == b'/' {
            *byte = b'.';
        }
    }
}

/// Behind fixed header, protocol name, version, flags, keep-alive and properties (MQTT 5, 3.1).
fn client_id(packet: &mut [u8]) -> Option<&mut [u8]> {
    let (_kind, rest) = packet.split_first_mut()?;
    let (_remaining, rest) = number(rest)?;
    let (_protocol, rest) = rest.split_at_mut_checked(6)?;
    let ([version, _flags, _keep_alive_high, _keep_alive_low], rest) = rest.split_first_chunk_mut()?;
    if *version != 5 {
        return None;
    }
    let (properties, rest) = number(rest)?;
    let (_properties, rest) = rest.split_at_mut_checked(properties)?;
    let (length, rest) = rest.split_first_chunk_mut::<2>()?;
    rest.get_mut(..usize::from(u16::from_be_bytes(*length)))
}

/// A number of MQTT's variable length, and what follows.
fn number(bytes: &mut [u8]) -> Option<(usize, &mut [u8])> {
    let length = bytes.iter().take(4).position(|byte| byte & 0x80 == 0)? + 1;
    let (digits, rest) = bytes.split_at_mut_checked(length)?;
    let value = digits.iter().rev().fold(0, |value, byte| value << 7 | usize::from(byte & 0x7F));
    Some((value, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slashes_of_the_client_id_become_dots_and_nothing_else_changes() {
        // Properties: session expiry; client id `demo/gw-1`; user name `demo/gw-1`.
        let head = [0x10, 40, 0, 4, b'M', b'Q', b'T', b'T', 5, 0x82, 0, 15, 5, 0x11, 0, 0, 0, b'/'];
        let packet = |id: &[u8]| [&head[..], &[0, 9], id, &[0, 9], b"demo/gw-1"].concat();
        let mut changed = packet(b"demo/gw-1");
        without_slashes(&mut changed);
        assert_eq!(changed, packet(b"demo.gw-1"));
    }

    #[test]
    fn what_is_no_packet_is_left_alone() {
        for bytes in [&[][..], &[0x10], &[0x10, 0xFF, 0xFF, 0xFF, 0xFF, 1], &[0x10, 4, 0, 4, b'M', b'/']] {
            let mut left = bytes.to_vec();
            without_slashes(&mut left);
            assert_eq!(left, bytes);
        }
    }
}
