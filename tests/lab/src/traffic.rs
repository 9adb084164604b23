//! Traffic between hosts and what became of it: pings, one TCP stream, floods of datagrams.
//!
//! In: hosts and addresses. Out: counts and rates. Never: a program under test.

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    time::{Duration, Instant},
};

use nix::sys::socket::{setsockopt, sockopt};

use crate::{Failed, Host, Outcome, host::joined};

/// What became of a row of pings.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pings {
    /// Requests sent.
    pub sent: u32,
    /// Answers heard.
    pub heard: u32,
    /// Mean round trip in milliseconds, if anything was heard.
    pub mean_ms: Option<f64>,
}

/// Pings until the first answer and says how long that took.
///
/// # Errors
/// When no answer comes within `limit`.
pub fn first_ping(host: &Host, target: &str, limit: Duration) -> Result<Duration, Failed> {
    let seconds = limit.as_secs().max(1).to_string();
    let started = Instant::now();
    // One request each 10 ms, done at the first answer: the granularity of the measurement.
    let arguments = ["-n", "-q", "-i", "0.01", "-c", "1", "-w", &seconds, target];
    let outcome = Outcome::of(
        host.command("ping").args(arguments),
        limit + Duration::from_secs(5),
    )?;
    if outcome.code == 0 {
        return Ok(started.elapsed());
    }
    Err(Failed::new(format!(
        "{} hears nothing from {target} within {limit:?}: {}{}",
        host.name(),
        outcome.stdout,
        outcome.stderr
    )))
}

/// Sends `count` pings, one per `interval`, with `size` bytes of payload, and counts the answers.
///
/// # Errors
/// When `ping` cannot run or says something unexpected.
pub fn ping(
    host: &Host,
    target: &str,
    count: u32,
    interval: Duration,
    size: u16,
) -> Result<Pings, Failed> {
    let interval_s = format!("{:.3}", interval.as_secs_f64());
    let (count_s, size_s) = (count.to_string(), size.to_string());
    let limit = interval * count + Duration::from_secs(20);
    let outcome = Outcome::of(
        host.command("ping").args([
            "-n",
            "-q",
            "-W",
            "2",
            "-M",
            "dont",
            "-i",
            &interval_s,
            "-c",
            &count_s,
            "-s",
            &size_s,
            target,
        ]),
        limit,
    )?;
    Pings::read(&outcome.stdout).ok_or_else(|| {
        Failed::new(format!(
            "ping said what is not understood: {}{}",
            outcome.stdout, outcome.stderr
        ))
    })
}

/// Pings and gives each round trip that came back, in milliseconds, sorted.
///
/// # Errors
/// When `ping` cannot run.
pub fn round_trips(
    host: &Host,
    target: &str,
    count: u32,
    interval: Duration,
) -> Result<Vec<f64>, Failed> {
    let interval_s = format!("{:.3}", interval.as_secs_f64());
    let arguments = [
        "-n",
        "-W",
        "2",
        "-i",
        &interval_s,
        "-c",
        &count.to_string(),
        target,
    ];
    let limit = interval * count + Duration::from_secs(20);
    let outcome = Outcome::of(host.command("ping").args(arguments), limit)?;
    let times = outcome.stdout.lines().filter_map(|line| {
        let (_, rest) = line.split_once("time=")?;
        rest.split_whitespace().next()?.parse().ok()
    });
    let mut times: Vec<f64> = times.collect();
    times.sort_by(f64::total_cmp);
    Ok(times)
}

impl Pings {
    /// Reads the summary that iputils' ping prints.
    fn read(summary: &str) -> Option<Self> {
        let counts = summary
            .lines()
            .find(|line| line.contains("packets transmitted"))?;
        let number_before = |what: &str| -> Option<u32> {
            let (before, _) = counts.split_once(what)?;
            before.split_whitespace().last()?.parse().ok()
        };
        let mean_ms = summary
            .lines()
            .find_map(|line| line.split_once(" = "))
            .and_then(|(_, figures)| figures.split('/').nth(1)?.parse().ok());
        Some(Self {
            sent: number_before(" packets transmitted")?,
            heard: number_before(" received")?,
            mean_ms,
        })
    }

    /// Requests without an answer.
    pub fn lost(&self) -> u32 {
        self.sent.saturating_sub(self.heard)
    }
}

/// Bits per second that one TCP stream carries from one host to another for `duration`.
///
/// # Errors
/// When the stream cannot be made or breaks.
pub fn tcp(from: &Host, to: &Host, target: Ipv4Addr, duration: Duration) -> Result<f64, Failed> {
    let listener = to.inside(move || Ok(TcpListener::bind((target, 0))?))?;
    let address = listener.local_addr()?;
    let sink = to.beside(move || {
        let (mut stream, _) = listener.accept()?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        let mut buffer = vec![0; 1 << 18];
        let started = Instant::now();
        let mut bytes = 0_u64;
        loop {
            match stream.read(&mut buffer)? {
                0 => break,
                n => bytes += n as u64,
            }
        }
        Ok((bytes, started.elapsed()))
    });
    let source = from.beside(move || {
        let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(5))?;
        stream.set_write_timeout(Some(Duration::from_secs(10)))?;
        let block = vec![0x5a; 1 << 18];
        let end = Instant::now() + duration;
        while Instant::now() < end {
            stream.write_all(&block)?;
        }
        Ok(())
    });
    joined(source).map_err(|failed| failed.during("TCP sender"))?;
    let (bytes, took) = joined(sink).map_err(|failed| failed.during("TCP receiver"))?;
    #[expect(
        clippy::cast_precision_loss,
        reason = "a rate for people, far below 2^52 bytes"
    )]
    Ok(bytes as f64 * 8.0 / took.as_secs_f64())
}

/// Sends `count` datagrams, made by `make` from their number, to `target` as fast as one thread can.
///
/// # Errors
/// When there is no socket.
pub fn flood(
    host: &Host,
    target: SocketAddr,
    count: u32,
    mut make: impl FnMut(u32, &mut Vec<u8>) + Send + 'static,
) -> Result<Flood, Failed> {
    host.inside(move || {
        let socket = UdpSocket::bind(("0.0.0.0", 0))?;
        socket.connect(target)?;
        let mut datagram = Vec::with_capacity(2048);
        let started = Instant::now();
        let mut refused = 0;
        for serial in 0..count {
            datagram.clear();
            make(serial, &mut datagram);
            // A full queue or an ICMP error of the far end is the underlay's affair: counted, not fatal.
            if socket.send(&datagram).is_err() {
                refused += 1;
            }
        }
        Ok(Flood {
            sent: count - refused,
            took: started.elapsed(),
        })
    })
}

/// A socket of a host with room for what comes while its reader waits for a processor.
///
/// # Errors
/// When there is no such socket.
pub fn patient(host: &Host, at: SocketAddr) -> Result<UdpSocket, Failed> {
    host.inside(move || {
        let socket = UdpSocket::bind(at)?;
        setsockopt(&socket, sockopt::RcvBufForce, &ROOM).map_err(std::io::Error::from)?;
        Ok(socket)
    })
}

/// Bytes of datagrams, with what the kernel adds to each, that may wait for a patient reader.
const ROOM: usize = 32 << 20;

/// What a flood was.
#[derive(Clone, Copy, Debug)]
pub struct Flood {
    /// Datagrams that the kernel took.
    pub sent: u32,
    /// How long it took.
    pub took: Duration,
}

/// A small generator of bytes for tests: xorshift, repeatable by its seed.
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// A generator; the same seed gives the same bytes.
    pub fn new(seed: u64) -> Self {
        Self(seed | 1)
    }

    /// The next 64 bits.
    pub fn roll(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `bound`, which is not zero.
    pub fn below(&mut self, bound: usize) -> usize {
        let wide = u128::from(self.roll()) * bound as u128;
        usize::try_from(wide >> 64).unwrap_or(0)
    }

    /// Appends `count` bytes.
    pub fn fill(&mut self, bytes: &mut Vec<u8>, count: usize) {
        let end = bytes.len() + count;
        while bytes.len() < end {
            let word = self.roll().to_le_bytes();
            let take = word.len().min(end - bytes.len());
            bytes.extend_from_slice(&word[..take]);
        }
    }
}

/// Sockets that listen to groups as long as they are kept.
pub type Listening = (UdpSocket, UdpSocket);

/// Listens on a device to the groups that the catalog of frames sends to, as programs of that host would: their frames may
/// go to listeners only.
///
/// # Errors
/// When there is no such device, or the kernel refuses.
pub fn listen(host: &Host, device: &str, ip: Ipv4Addr) -> Result<Listening, Failed> {
    let (v4, v6) = zt_frames::GROUPS;
    // Through `ip netns exec`, which shows the host's own devices there.
    let index = format!("/sys/class/net/{device}/ifindex");
    let index = host.run("cat", &[&index])?.good()?.stdout;
    let index: u32 = index.trim().parse().unwrap_or(0);
    host.inside(move || {
        let four = UdpSocket::bind(("0.0.0.0", 0))?;
        for group in v4 {
            four.join_multicast_v4(&group, &ip)?;
        }
        let six = UdpSocket::bind(("::", 0))?;
        six.join_multicast_v6(&v6, index)?;
        Ok((four, six))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_of_ping_with_loss_is_understood() {
        let said = "--- 10.0.0.2 ping statistics ---\n50 packets transmitted, 48 received, 4% packet loss, time 990ms\nrtt min/avg/max/mdev = 0.5/1.25/3.0/0.1 ms\n";
        let pings = Pings::read(said).expect("a summary");
        assert_eq!((pings.sent, pings.heard, pings.lost()), (50, 48, 2));
        assert_eq!(pings.mean_ms, Some(1.25));
    }

    #[test]
    fn a_summary_of_ping_without_any_answer_has_no_mean() {
        let said = "3 packets transmitted, 0 received, +3 errors, 100% packet loss, time 2030ms\n";
        let pings = Pings::read(said).expect("a summary");
        assert_eq!((pings.lost(), pings.mean_ms), (3, None));
    }
}
