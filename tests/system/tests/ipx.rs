//! IPX for people: DOSBox on one machine, an old machine's raw frames on another, and who hears whom.
//!
//! In: datagrams as DOSBox sends them, frames in four framings. Out: what crossed. Never: a look into a program.

use std::{
    net::UdpSocket,
    time::{Duration, Instant},
};

use zt_lab::{
    Failed, Host,
    ipx::{self, Framing, Station},
    raw,
    zt::until,
};
use zt_system_tests::{Couple, ensure, story};

/// A DOSBox after `ipxnet connect 127.0.0.1`.
struct Dosbox {
    socket: UdpSocket,
    node: [u8; 6],
}

impl Dosbox {
    fn connect(host: &Host) -> Result<Self, Failed> {
        let socket = host.inside(|| {
            let socket = UdpSocket::bind("127.0.0.1:0")?;
            socket.connect("127.0.0.1:213")?;
            socket.set_read_timeout(Some(Duration::from_secs(3)))?;
            Ok(socket)
        })?;
        socket.send(&packet([0; 6], [0; 6], 2, &[]))?;
        let mut dosbox = Self {
            socket,
            node: [0; 6],
        };
        let answer = dosbox.hear()?;
        dosbox.node.copy_from_slice(&answer[10..16]);
        Ok(dosbox)
    }

    fn hear(&self) -> Result<Vec<u8>, Failed> {
        let mut bytes = [0; 2048];
        let length = self.socket.recv(&mut bytes)?;
        Ok(bytes[..length].to_vec())
    }
}

fn packet(to: [u8; 6], from: [u8; 6], socket: u8, data: &[u8]) -> Vec<u8> {
    let length = u8::try_from(30 + data.len()).unwrap_or(u8::MAX);
    let mut bytes = vec![0xff, 0xff, 0, length, 0, 0];
    for node in [to, from] {
        bytes.extend([0; 4]);
        bytes.extend(node);
        bytes.extend([0, socket]);
    }
    bytes.extend(data);
    bytes
}

/// The packet in a frame, if it is in this framing.
fn inside(framing: Framing, frame: &[u8]) -> Option<Vec<u8>> {
    let kind = u16::from_be_bytes([*frame.get(12)?, *frame.get(13)?]);
    let prefix: &[u8] = match framing {
        Framing::EthernetII | Framing::Raw8023 => &[],
        Framing::Llc8022 => &[0xe0, 0xe0, 0x03],
        Framing::Snap => &[0xaa, 0xaa, 0x03, 0, 0, 0, 0x81, 0x37],
    };
    if (framing == Framing::EthernetII) != (kind == 0x8137) {
        return None;
    }
    let bytes = frame[14..].strip_prefix(prefix)?;
    let length = usize::from(u16::from_be_bytes([*bytes.get(2)?, *bytes.get(3)?]));
    bytes.get(..length).map(<[u8]>::to_vec)
}

fn meets_a_dos_machine(couple: &Couple, dosbox: &Dosbox, framing: Framing) -> Result<(), Failed> {
    let far = Station::new(&couple.b.host, &couple.jb.device)?;
    let mut port = raw::Port::open(&far.host, &far.device)?;
    for to in [[0xff; 6], dosbox.node] {
        let frame = ipx::padded(framing, to, far.mac, 40, 7);
        port.send(&frame)?;
        let heard = dosbox.hear()?;
        ensure(Some(&heard) == inside(framing, &frame).as_ref(), || {
            format!("{framing:?} to {to:02x?} reached DOSBox as {heard:02x?}")
        })?;
    }
    for to in [[0xff; 6], far.mac] {
        let sent = packet(to, dosbox.node, 9, b"a move in a game");
        dosbox.socket.send(&sent)?;
        let deadline = Instant::now() + Duration::from_secs(3);
        let found = port.hear(deadline, |frame| {
            frame[..6] == to && inside(framing, frame).as_ref() == Some(&sent)
        })?;
        ensure(found.is_some(), || {
            format!("DOSBox to {to:02x?} is not heard in {framing:?}")
        })?;
    }
    Ok(())
}

#[test]
fn dosbox_and_a_dos_machine_share_one_network_in_every_framing() {
    story(|town| {
        let mut couple = town.pair()?;
        couple.meet_directly()?;
        let id = couple.ja.id.clone();
        let nobody = couple.a.cli(&["ipx", "ping", &id, "-W", "0.5"])?;
        ensure(nobody.code == 7, || {
            format!("nobody can answer yet: {nobody:?}")
        })?;
        let set = couple.a.ask(&["set", &id, "ipxnet=on"])?;
        ensure(set["ipxnet"] == "127.0.0.1:213", || format!("{set}"))?;
        // Without a DOSBox the node itself answers.
        let answers = couple.b.ask(&["ipx", "ping", &id])?;
        let mac = couple.a.network(&id)?["mac"].clone();
        ensure(answers[0]["node"] == mac, || format!("{answers}"))?;
        let dosbox = Dosbox::connect(&couple.a.host)?;
        for framing in Framing::ALL {
            meets_a_dos_machine(&couple, &dosbox, framing)?;
        }
        let list = couple.a.ask(&["ipx", "list", &id])?;
        let far = couple.b.network(&id)?["mac"].clone();
        let host = &list[0]["hosts"][0];
        ensure(
            host["node"] == far
                && host["framing"] == "snap"
                && list[0]["clients"][0]["node"] == mac,
            || format!("{list}"),
        )?;
        couple.a.restart()?;
        until(Duration::from_secs(10), "ipxnet is not back", || {
            let network = couple.a.network(&id)?;
            Ok(network["status"] == "ok" && !network["device"].is_null())
        })?;
        Dosbox::connect(&couple.a.host).map(drop)
    });
}

#[test]
fn a_port_in_use_is_said_with_exit_code_four() {
    story(|town| {
        let couple = town.pair()?;
        let taken = couple
            .a
            .host
            .inside(|| Ok(UdpSocket::bind("127.0.0.1:213")?))?;
        let refused = couple.a.cli(&["set", &couple.ja.id, "ipxnet=on"])?;
        drop(taken);
        ensure(
            refused.code == 4 && refused.stderr.contains("127.0.0.1:213"),
            || format!("{refused:?}"),
        )
    });
}
