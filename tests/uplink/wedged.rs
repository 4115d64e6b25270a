//! Brokers that misbehave, byte by byte.

use messages::batch::{Seq, Stream};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::on_one_thread;
use crate::site::Site;

/// Whether a broker takes the batch that it did not take before, and whether it has.
struct Mended {
    takes: watch::Sender<bool>,
    taken: watch::Sender<bool>,
}

/// How a broker behaves once connected.
#[derive(Clone, Copy)]
enum Manner {
    /// Accepts the connection and says nothing.
    Mute,
    /// Says CONNACK and confirms no publish.
    NeverAcknowledges,
    /// Hangs up at each batch, after it has taken the state.
    BreaksAtBatches,
    /// Hangs up at each publish.
    BreaksAtPublishes,
    /// Hangs up at the second batch until it was told to take it, and acknowledges the others like a portal-less broker.
    BreaksAtSecond(&'static Mended),
    /// Refuses the connection: not authorised.
    Refuses,
    /// Hangs up as soon as it has said CONNACK.
    Twin,
}

/// A broker on a free port; counts connections.
async fn broker(manner: Manner) -> (u16, watch::Receiver<u64>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (count, connections) = watch::channel(0);
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            count.send_modify(|count| *count += 1);
            tokio::spawn(async move { serve(stream, manner).await });
        }
    });
    (port, connections)
}

async fn serve(mut stream: TcpStream, manner: Manner) -> Option<()> {
    loop {
        let first = stream.read_u8().await.ok()?;
        let mut length = 0_usize;
        for shift in (0..4).map(|index| index * 7) {
            let byte = stream.read_u8().await.ok()?;
            length |= usize::from(byte & 0x7F) << shift;
            if byte & 0x80 == 0 {
                break;
            }
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await.ok()?;
        match (first >> 4, manner) {
            (_, Manner::Mute) => {}
            (1, Manner::Refuses) => {
                stream.write_all(&[0x20, 3, 0, 0x87, 0]).await.ok()?;
                return None;
            }
            (1, _) => stream.write_all(&[0x20, 3, 0, 0, 0]).await.ok()?,
            (_, Manner::Twin) => return None,
            (8, _) => stream.write_all(&[0x90, 6, body[0], body[1], 0, 1, 1, 1]).await.ok()?,
            (12, _) => stream.write_all(&[0xD0, 0]).await.ok()?,
            (3, _) => {
                let topic = usize::from(u16::from_be_bytes([body[0], body[1]]));
                let batch = body[2..2 + topic].ends_with(b"uplink");
                let id = [body[2 + topic], body[3 + topic]];
                let is = |seq: u64| {
                    let property =
                        [&b"\x00\x03seq"[..], &[0, u8::try_from(seq.to_string().len()).unwrap()]].concat();
                    let property = [property, seq.to_string().into_bytes(), vec![0x26]].concat();
                    batch && body.windows(property.len()).any(|window| window == property)
                };
                match manner {
                    Manner::NeverAcknowledges => continue,
                    Manner::BreaksAtPublishes => return None,
                    Manner::BreaksAtBatches if batch => return None,
                    Manner::BreaksAtSecond(mended) if is(2) => {
                        if !*mended.takes.borrow() {
                            return None;
                        }
                        stream.write_all(&[0x40, 2, id[0], id[1]]).await.ok()?;
                        mended.taken.send_replace(true);
                    }
                    _ => stream.write_all(&[0x40, 2, id[0], id[1]]).await.ok()?,
                }
            }
            _ => {}
        }
    }
}

fn gateway(port: u16, more: &str) -> Site {
    let mut site = Site::new(&format!("port = {port}\nkeep_alive = \"5s\"\n{more}"));
    site.readings(3);
    site
}

#[test]
fn a_broker_that_takes_everything_and_confirms_nothing_is_left() {
    on_one_thread(async {
        let (port, mut connections) = broker(Manner::NeverAcknowledges).await;
        let site = gateway(port, "");
        let running = site.start();
        let status = running.until(|status| status.error.is_some()).await;
        assert_eq!(status.error.unwrap(), "the broker takes messages but confirms none");
        assert_eq!(status.streams[&Stream::Readings].acknowledged, Seq::NONE);
        connections.wait_for(|count| *count >= 2).await.unwrap();
        running.kill().await;
    });
}

#[test]
fn a_broker_that_never_answers_is_told_and_tried_again() {
    on_one_thread(async {
        let (port, mut connections) = broker(Manner::Mute).await;
        let site = gateway(port, "");
        let running = site.start();
        let status = running.until(|status| status.error.is_some()).await;
        assert_eq!(status.error.unwrap(), "the broker does not answer");
        connections.wait_for(|count| *count >= 2).await.unwrap();
        running.kill().await;
    });
}

#[test]
fn a_refusal_is_told_with_its_reason() {
    on_one_thread(async {
        let (port, _connections) = broker(Manner::Refuses).await;
        let site = gateway(port, "");
        let running = site.start();
        let status = running.until(|status| status.error.is_some()).await;
        let said = status.error.unwrap();
        assert!(said.contains("refuses the connection: not authorised (reason 135)"), "{said}");
        running.kill().await;
    });
}

#[test]
fn a_batch_that_breaks_the_line_twice_is_parked_the_others_go_on_and_it_is_sent_again_by_hand() {
    on_one_thread(async {
        let mended: &'static Mended = Box::leak(Box::new(Mended {
            takes: watch::Sender::new(false),
            taken: watch::Sender::new(false),
        }));
        let (port, _connections) = broker(Manner::BreaksAtSecond(mended)).await;
        let site = gateway(port, "acknowledge = \"broker\"");
        let running = site.start();
        let status = running.arrives(Stream::Readings, 3).await;
        assert_eq!(status.parked.len(), 1);
        assert_eq!((status.parked[0].stream, status.parked[0].seq), (Stream::Readings, Seq::new(2)));
        assert!(status.parked[0].reason.contains("broke twice"), "{}", status.parked[0].reason);
        // Sent again by hand once the broker is mended.
        mended.takes.send_replace(true);
        assert!(running.unpark.ask(Stream::Readings, Seq::new(2)));
        mended.taken.subscribe().wait_for(|taken| *taken).await.unwrap();
        running.until(|status| status.parked.is_empty()).await;
        running.kill().await;
        let running = site.start();
        assert!(running.until(|status| status.connected).await.parked.is_empty(), "also after a restart");
        running.kill().await;
    });
}

#[test]
fn a_broker_that_breaks_at_every_batch_parks_none_of_them() {
    on_one_thread(async {
        let (port, mut connections) = broker(Manner::BreaksAtBatches).await;
        let site = gateway(port, "");
        let running = site.start();
        connections.wait_for(|count| *count >= 6).await.unwrap();
        running.until(|status| status.parked.is_empty()).await;
        running.kill().await;
        let (port, mut connections) = broker(Manner::BreaksAtPublishes).await;
        let site = gateway(port, "");
        let running = site.start();
        connections.wait_for(|count| *count >= 4).await.unwrap();
        assert!(running.until(|_| true).await.parked.is_empty());
        running.kill().await;
    });
}

#[test]
fn a_second_client_with_our_name_is_told_after_three_short_lines() {
    on_one_thread(async {
        let (port, _connections) = broker(Manner::Twin).await;
        let site = gateway(port, "");
        let running = site.start();
        let twin =
            |error: &Option<String>| error.as_ref().is_some_and(|error| error.contains("another client"));
        let status = running.until(|status| twin(&status.error)).await;
        assert!(status.connections >= 3);
        let problems = running.shared.problems.borrow().list();
        assert!(problems.iter().any(|problem| problem.problem == messages::event::ProblemKind::BrokerTwin));
        running.kill().await;
    });
}

#[test]
fn a_closed_port_an_unknown_name_and_the_wrong_kind_of_port_are_told_apart() {
    on_one_thread(async {
        let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
        let error = async |site: &Site| {
            let running = site.start();
            let status = running.until(|status| status.error.is_some()).await;
            running.kill().await;
            status.error.unwrap()
        };
        let said = error(&gateway(closed, "")).await;
        assert!(said.contains("nothing listens"), "{said}");
        let mut unknown = gateway(closed, "insecure_plaintext = true");
        unknown.config = unknown.config.replace("host = \"127.0.0.1\"", "host = \"no-such-host.invalid\"");
        let said = error(&unknown).await;
        assert!(said.contains("name is not known"), "{said}");
        // One that hangs up on whatever it does not understand, as a TLS port does on a plain client and the other way.
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let _ = stream.read(&mut [0; 64]).await;
            }
        });
        let said = error(&gateway(port, "")).await;
        assert!(said.contains("does this port expect TLS"), "{said}");
        let site = gateway(port, "");
        let ca = site.path().join("ca.pem");
        crate::certificates::Authority::new("test").write(&ca);
        let password = site.path().join("password");
        std::fs::write(&password, "secret").unwrap();
        std::fs::set_permissions(&password, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        let mut tls = site;
        tls.config += &format!(
            "tls = {{ ca = \"{}\" }}\nuser = \"x\"\npassword_file = \"{}\"\n",
            ca.display(),
            password.display()
        );
        let said = error(&tls).await;
        assert!(said.contains("does this port speak TLS"), "{said}");
    });
}
