//! What the sockets do on a kernel that does not join datagrams or knows no trains: every datagram comes, and it is said once.
//!
//! In: refusals as a kernel gives them. Out: datagrams, and lines of the log.

use std::io::Write;
use std::mem::MaybeUninit;
use std::sync::Mutex;

use super::*;

const SIZE: usize = 500;
const COUNT: usize = 40;

/// What is logged meanwhile, line by line.
fn logged(act: impl FnOnce()) -> Vec<String> {
    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);
    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let kept = Kept::default();
    let writer = kept.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    tracing::subscriber::with_default(subscriber, act);
    let bytes = kept.0.lock().unwrap().clone();
    let text = String::from_utf8(bytes).unwrap();
    text.lines().map(str::to_owned).collect()
}

fn loopback() -> SocketAddr {
    "127.0.0.1:0".parse().unwrap()
}

fn opening(offloads: &Offloads) -> Opening<'_> {
    Opening {
        offloads,
        segments: send::prepare,
        joins: receive::prepare,
    }
}

/// Sends one train, the last datagram shorter; each datagram is full of its number.
fn send_train(to: SocketAddr) {
    let mut batch = Batch::new(Sockets::bind(&[loopback()], &Offloads::default()).unwrap());
    for number in 0..COUNT {
        let length = SIZE - usize::from(number + 1 == COUNT);
        let slot = batch.slot(to, length).unwrap();
        slot.fill(u8::try_from(number).unwrap());
    }
    batch.flush();
    assert_eq!(batch.lost(), batch::Lost::default());
}

/// Everything that waits at a socket, checked against what [`send_train`] sends.
fn all_came(receiver: &mut Receiver, port: &Port) {
    let mut heard = Vec::new();
    while receiver
        .batch(port.as_fd(), |_, bytes| heard.push(bytes.to_vec()))
        .more
    {}
    assert_eq!(heard.len(), COUNT);
    for (number, bytes) in heard.iter().enumerate() {
        assert_eq!(bytes.len(), SIZE - usize::from(number + 1 == COUNT));
        assert!(bytes.iter().all(|byte| usize::from(*byte) == number));
    }
}

/// Bytes of the first message that waits at a socket, as the kernel gives it.
fn first_message(port: &Port) -> usize {
    let mut room = vec![MaybeUninit::uninit(); 65_536];
    port.socket.recv(&mut room).unwrap()
}

#[test]
fn a_kernel_that_does_not_join_datagrams_gives_each_of_them_and_that_is_said_once() {
    let offloads = Offloads::default();
    let how = Opening {
        joins: |_| false,
        ..opening(&offloads)
    };
    let mut groups = Vec::new();
    let lines = logged(|| groups = Sockets::bind_by(&[loopback(); 3], how, 2).unwrap());
    let told = lines.iter().filter(|line| line.contains("UDP_GRO"));
    assert_eq!(told.count(), 1, "{lines:?}");
    assert!(lines.iter().all(|line| line.contains("INFO")), "{lines:?}");
    let port = &groups[0].ports()[1];
    send_train(port.local());
    all_came(&mut Receiver::new(), port);
    send_train(port.local());
    assert_eq!(first_message(port), SIZE, "nothing was joined");
    let joining = Sockets::bind(&[loopback()], &offloads).unwrap();
    let port = &joining.ports()[0];
    send_train(port.local());
    all_came(&mut Receiver::new(), port);
    send_train(port.local());
    assert!(first_message(port) > SIZE, "else this kernel joins");
}

#[test]
fn a_kernel_that_knows_no_trains_gets_single_datagrams_and_that_is_said_once() {
    let offloads = Offloads::default();
    let how = Opening {
        segments: |_, _| false,
        ..opening(&offloads)
    };
    let mut groups = Vec::new();
    let lines = logged(|| groups = Sockets::bind_by(&[loopback(); 3], how, 2).unwrap());
    let told = lines.iter().filter(|line| line.contains("UDP_SEGMENT"));
    assert_eq!(told.count(), 1, "{lines:?}");
    assert!(
        groups
            .iter()
            .flat_map(Sockets::ports)
            .all(|port| !port.segments)
    );
}

#[test]
fn what_is_switched_off_or_known_is_not_spoken_of() {
    let off = Offloads::without(&[Offload::UdpGro, Offload::UdpSegment]);
    let refusing = Opening {
        joins: |_| false,
        segments: |_, _| false,
        ..opening(&off)
    };
    let lines = logged(|| {
        Sockets::bind_by(&[loopback()], refusing, 1).unwrap();
        Sockets::bind(&[loopback()], &Offloads::default()).unwrap();
    });
    assert_eq!(lines, [""; 0]);
}
