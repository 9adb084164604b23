//! The limit that `cargo lab bench` measures against: our TAP and UDP modules with a copy where the seal would be.
//!
//! In: a device name, a MAC, an address to listen on, the other end's. Out: frames of one end on the other.
//! Never: a secret. Whoever can reach the port can put frames on the device: for namespaces of the lab only.
#![forbid(unsafe_code)]

use std::error::Error;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};

use rustix::event::{PollFd, PollFlags};
use zt_driver::offload::Offloads;
use zt_driver::tap::{Arena, LARGEST_READ, Read, Tap};
use zt_driver::udp::{Batch, Receiver, Sockets};
use zt_engine::segment::{Headers, SuperFrame};
use zt_engine::shard::{Offload, TapFrame};

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [name, mac, listen, peer] = words.as_slice() else {
        return Err("usage: limit DEVICE MAC LISTEN PEER".into());
    };
    let offloads = Offloads::default();
    let mut tap = Tap::open(name, mac.parse()?, &offloads)?;
    let sockets =
        Sockets::bind(&[listen.parse()?], &offloads).map_err(|refused| refused.to_string())?;
    let port = sockets.ports()[0].as_fd().try_clone_to_owned()?;
    let mut batch = Batch::new(sockets);
    forward(&mut tap, &port, &mut batch, peer.parse()?)
}

fn forward(
    tap: &mut Tap,
    port: &OwnedFd,
    batch: &mut Batch,
    peer: SocketAddr,
) -> Result<(), Box<dyn Error>> {
    let mut receiver = Receiver::new();
    let mut buffer = vec![0; LARGEST_READ];
    loop {
        let mut ready = [
            PollFd::new(tap, PollFlags::IN),
            PollFd::new(port, PollFlags::IN),
        ];
        rustix::event::poll(&mut ready, None)?;
        let [from_tap, from_wire] = ready.map(|fd| !fd.revents().is_empty());
        if from_tap {
            let mut bytes = 0;
            while bytes < TURN {
                match tap.read(&mut buffer) {
                    Read::Frame(place, offload) => {
                        bytes += place.len().max(LEAST);
                        let bytes = &buffer[place];
                        send(batch, peer, TapFrame { bytes, offload });
                    }
                    Read::Odd => bytes += LEAST,
                    Read::Empty => break,
                    Read::Gone(why) => return Err(why.into()),
                }
            }
        }
        if from_wire {
            let mut bytes = 0;
            while bytes < TURN {
                let arena = Arena::of(receiver.buffer());
                let got = receiver.batch(port.as_fd(), |_, datagram| deliver(tap, datagram, arena));
                tap.flush(receiver.buffer());
                if !got.more {
                    break;
                }
                bytes += got.bytes.max(LEAST);
            }
        }
        batch.flush();
    }
}

/// Cuts as the engine does and copies each segment into its slot.
fn send(batch: &mut Batch, peer: SocketAddr, frame: TapFrame<'_>) {
    let Some(parsed) = SuperFrame::parse(frame) else {
        let place = match frame.offload {
            Offload::Checksum { start, offset } => (start, offset),
            _ => (0, 0),
        };
        return put(batch, peer, place, [frame.bytes, &[]]);
    };
    let mut headers = Headers::new();
    for index in 0..parsed.count() {
        let data = parsed.segment(index, &mut headers);
        put(batch, peer, headers.checksum(), [headers.bytes(), data]);
    }
}

fn put(batch: &mut Batch, peer: SocketAddr, place: (u16, u16), frame: [&[u8]; 2]) {
    let length = HEAD + frame[0].len() + frame[1].len();
    let Some(slot) = batch.slot(peer, length) else {
        return;
    };
    slot[..2].copy_from_slice(&place.0.to_be_bytes());
    slot[2..4].copy_from_slice(&place.1.to_be_bytes());
    slot[HEAD..HEAD + frame[0].len()].copy_from_slice(frame[0]);
    slot[HEAD + frame[0].len()..].copy_from_slice(frame[1]);
}

fn deliver(tap: &mut Tap, datagram: &[u8], arena: Arena) {
    let Some((&[a, b, c, d], _)) = datagram.split_first_chunk() else {
        return;
    };
    let Some(bytes) = datagram.get(HEAD..) else {
        return;
    };
    let start = u16::from_be_bytes([a, b]);
    let offset = u16::from_be_bytes([c, d]);
    let offload = if start == 0 {
        Offload::None
    } else {
        Offload::Checksum { start, offset }
    };
    tap.deliver(TapFrame { bytes, offload }, arena);
}

/// As many bytes beside each frame as an elided FRAME in a TRANSPORT datagram has.
const HEAD: usize = 36;
/// Bytes of one turn, and what a call counts at least: as the worker of a node takes them.
const TURN: usize = 256 << 10;
const LEAST: usize = 4 << 10;
