//! What the demo and the benches ask of two nodes on one network.
//!
//! In: two nodes that have joined. Out: one figure each. Never: an opinion on it.

use std::time::{Duration, Instant};

use crate::{
    Failed,
    ipx::{self, Framing, Station, cross},
    traffic,
    zt::{Joined, Node, until},
};

/// Two nodes on one network.
#[derive(Clone, Copy, Debug)]
pub struct Pair<'a> {
    /// One end.
    pub a: (&'a Node, &'a Joined),
    /// The other.
    pub b: (&'a Node, &'a Joined),
}

impl Pair<'_> {
    /// The same pair seen from the other end.
    #[must_use]
    pub const fn turned(self) -> Self {
        Self {
            a: self.b,
            b: self.a,
        }
    }

    /// From the first request to the first answer.
    ///
    /// # Errors
    /// When there is none within 10 s.
    pub fn first_ping(self) -> Result<Duration, Failed> {
        let target = self.b.1.ip.to_string();
        traffic::first_ping(&self.a.0.host, &target, Duration::from_secs(10))
    }

    /// Pings; lost ones are counted.
    ///
    /// # Errors
    /// When ping cannot run.
    pub fn ping(self, count: u32, interval: Duration) -> Result<traffic::Pings, Failed> {
        let target = self.b.1.ip.to_string();
        traffic::ping(&self.a.0.host, &target, count, interval, 56)
    }

    /// The kind of path that `peers` names.
    ///
    /// # Errors
    /// When the node does not answer.
    pub fn path(self) -> Result<String, Failed> {
        let peer = self.a.0.peer(&self.b.0.address()?)?;
        Ok(peer["path"]["kind"].as_str().unwrap_or("none").to_owned())
    }

    /// How long after `since` the path is direct, in a row of pings that keeps it wanted.
    ///
    /// # Errors
    /// When it is not within 15 s.
    pub fn direct(self, since: Instant) -> Result<Duration, Failed> {
        let address = self.b.0.address()?;
        until(Duration::from_secs(15), "the path is never direct", || {
            Ok(self.a.0.peer(&address)?["path"]["kind"] == "direct")
        })?;
        Ok(since.elapsed())
    }

    /// Bits per second of one TCP stream.
    ///
    /// # Errors
    /// When it breaks.
    pub fn tcp(self, duration: Duration) -> Result<f64, Failed> {
        traffic::tcp(&self.a.0.host, &self.b.0.host, self.b.1.ip, duration)
    }

    /// Sends IPX in one framing, short with padding and long, and says whether the other end heard every byte once.
    ///
    /// # Errors
    /// When a device is gone.
    pub fn ipx(self, framing: Framing) -> Result<bool, Failed> {
        let from = Station::new(&self.a.0.host, &self.a.1.device)?;
        let to = Station::new(&self.b.0.host, &self.b.1.device)?;
        // An empty packet is padded in each framing; 1,456 bytes of payload leave room for the longest header.
        let frames = [
            ipx::padded(framing, to.mac, from.mac, 0, 0x11),
            ipx::padded(framing, to.mac, from.mac, 200, 0x22),
            ipx::padded(framing, to.mac, from.mac, 1456, 0x33),
            ipx::padded(framing, [0xff; 6], from.mac, 40, 0x44),
        ];
        Ok(cross(&from, &to, &frames)?.iter().all(|heard| *heard))
    }
}
