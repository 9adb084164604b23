//! Every kind of frame of the catalog, sent by our own hand, heard by tcpdump, which puts back the tags that the kernel takes off.
//!
//! In: a stage. Out: how many crossed byte for byte, once and in order. Never: a kind that needs a right or a flag; those have rows of their own.

use std::{
    fs,
    net::Ipv4Addr,
    path::{Path, PathBuf},
    time::Duration,
};

use zt_frames::{End, Ends, Kind, Needs};

use super::{
    ground::{Place, Seat},
    stage::{PATIENCE, Stage},
};
use crate::{
    Failed, Process, raw, traffic,
    zt::{Node, until},
};

/// Every kind of frame that may cross between the two, in both directions.
pub fn every_kind(stage: &mut Stage<'_>) -> Result<String, Failed> {
    let place = stage.pair.place;
    let (near, far) = (stage.pair.asks, stage.pair.answers);
    let [a, b, c, d] = &stage.ground.nodes;
    let members = match place {
        Place::Members => [a, b],
        Place::Bridges => [c, d],
    };
    // The order is that of one path.
    direct(members)?;
    if place == Place::Bridges {
        // A Linux bridge that snoops keeps multicast to itself, which is not what this row is about.
        for node in members {
            node.host.ip("link set br0 type bridge mcast_snooping 0")?;
        }
    }
    let ends = Ends {
        from: end(near)?,
        to: end(far)?,
        directed: DIRECTED,
        mtu: 1500,
    };
    let mut listening = Vec::new();
    if place == Place::Members {
        for seat in [near, far] {
            listening.push(traffic::listen(seat.host, seat.device, seat.ip)?);
        }
        // Reports of who listens cross within a moment.
        std::thread::sleep(REPORTED);
    }
    let mut sent = 0;
    for (from, to, ends, run) in [(near, far, ends, RUN), (far, near, ends.turned(), RUN_BACK)] {
        let frames: Vec<(&Kind, Vec<u8>)> = zt_frames::all(&ends, run)
            .into_iter()
            .filter(|(kind, _)| may_cross(kind.needs, place))
            .collect();
        sent += frames.len();
        cross(stage, from, to, &frames)
            .map_err(|failed| failed.during(&format!("{} to {}", from.ip, to.ip)))?;
    }
    Ok(format!("{sent} of {sent}, byte for byte, both ways"))
}

const fn may_cross(needs: Needs, place: Place) -> bool {
    match needs {
        Needs::Nothing => true,
        Needs::BridgeFrom | Needs::BridgeTo | Needs::Unlisted => matches!(place, Place::Bridges),
        Needs::Bridges | Needs::LinkLocalGroups | Needs::DhcpServer | Needs::Router => false,
    }
}

fn direct([a, b]: [&Node; 2]) -> Result<(), Failed> {
    for (node, peer) in [(a, b.address()?), (b, a.address()?)] {
        until(PATIENCE, "the path is never direct", || {
            Ok(node.peer(&peer)?["path"]["kind"] == "direct")
        })?;
    }
    Ok(())
}

fn end(seat: Seat<'_>) -> Result<End, Failed> {
    Ok(End {
        mac: raw::mac(seat.host, seat.device)?,
        ip: seat.ip,
    })
}

/// Sends all frames and compares what arrives.
fn cross(
    stage: &mut Stage<'_>,
    from: Seat<'_>,
    to: Seat<'_>,
    frames: &[(&Kind, Vec<u8>)],
) -> Result<(), Failed> {
    let mut mouth = raw::Port::open(from.host, from.device)?;
    let (file, mut tcpdump) = listen(stage, to)?;
    for (_, frame) in frames {
        mouth.send(frame)?;
    }
    let ours = || -> Result<Vec<usize>, Failed> {
        let heard = captured(&file)?;
        let which = |seen: &Vec<u8>| frames.iter().position(|(_, frame)| frame == seen);
        Ok(heard.iter().filter_map(which).collect())
    };
    // What is missing is looked at below, with its name.
    let _all = until(SETTLED, "", || Ok(ours()?.len() >= frames.len()));
    std::thread::sleep(LATE);
    tcpdump.stop()?;
    verdict(frames, &ours()?)
}

/// What was heard, as places in the list of what was sent, is that list.
fn verdict(frames: &[(&Kind, Vec<u8>)], heard: &[usize]) -> Result<(), Failed> {
    let times = |at: usize| heard.iter().filter(|place| **place == at).count();
    let wrong: Vec<String> = frames
        .iter()
        .enumerate()
        .filter_map(|(at, (kind, _))| match times(at) {
            1 => None,
            0 => Some(format!("lost or changed: {}", kind.name)),
            n => Some(format!("{n} times: {}", kind.name)),
        })
        .collect();
    if !wrong.is_empty() {
        let count = frames.len();
        return Err(Failed::new(format!(
            "{} of {count} went wrong:\n{}",
            wrong.len(),
            wrong.join("\n")
        )));
    }
    match heard.windows(2).find(|pair| pair[0] > pair[1]) {
        None => Ok(()),
        Some(pair) => Err(Failed::new(format!(
            "out of order: {} came after {}",
            frames[pair[1]].0.name, frames[pair[0]].0.name
        ))),
    }
}

/// Starts tcpdump on a seat; it listens when this returns.
fn listen(stage: &mut Stage<'_>, seat: Seat<'_>) -> Result<(PathBuf, Process), Failed> {
    let home = stage.dir("tcpdump")?;
    let name = format!("tcpdump-{}", seat.ip);
    let file = home.join(format!("{name}.pcap"));
    let mut command = seat.program("tcpdump", &home);
    command
        .args(["-Z", "root", "-U", "-s", "0", "-i", seat.device, "-w"])
        .arg(&file);
    let mut process = stage.start(&name, &mut command)?;
    Stage::until_says(&mut process, "listening on")?;
    Ok((file, process))
}

/// The frames of a capture in pcap's format, as this machine writes it; one that is not whole yet is left out.
fn captured(file: &Path) -> Result<Vec<Vec<u8>>, Failed> {
    let bytes = fs::read(file)?;
    let mut rest = bytes.get(FILE_HEADER..).unwrap_or_default();
    let mut frames = Vec::new();
    while let Some(&[a, b, c, d]) = rest.get(8..12) {
        let length = usize::try_from(u32::from_ne_bytes([a, b, c, d])).unwrap_or(usize::MAX);
        let Some(frame) = rest.get(FRAME_HEADER..).and_then(|rest| rest.get(..length)) else {
            break;
        };
        frames.push(frame.to_vec());
        rest = &rest[FRAME_HEADER + length..];
    }
    Ok(frames)
}

const DIRECTED: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 255);
/// Marks of our frames, one for each direction.
const RUN: [u8; 6] = *b"lan>>>";
const RUN_BACK: [u8; 6] = *b"lan<<<";
/// Longest that the last frame may take.
const SETTLED: Duration = Duration::from_secs(5);
/// Time for reports of who listens to cross.
const REPORTED: Duration = Duration::from_secs(1);
/// Long enough for a second copy.
const LATE: Duration = Duration::from_millis(200);
const FILE_HEADER: usize = 24;
const FRAME_HEADER: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    fn frames() -> Vec<(&'static Kind, Vec<u8>)> {
        zt_frames::KINDS
            .iter()
            .take(3)
            .map(|kind| (kind, Vec::new()))
            .collect()
    }

    #[test]
    fn all_once_and_in_order_is_good() {
        assert_eq!(verdict(&frames(), &[0, 1, 2]), Ok(()));
    }

    #[test]
    fn a_lost_a_doubled_and_a_late_frame_are_told_apart() {
        for (heard, word) in [
            (&[0, 2][..], "lost or changed"),
            (&[0, 1, 1, 2], "2 times"),
            (&[1, 0, 2], "out of order"),
        ] {
            let said = verdict(&frames(), heard).unwrap_err().to_string();
            assert!(said.contains(word), "{said}");
        }
    }
}
