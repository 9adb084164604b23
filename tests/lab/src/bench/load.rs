//! The traffic of the bench: streams, paced and unpaced datagrams, round trips.
//!
//! In: two hosts and addresses. Out: rates, losses, delays. Never: a program other than the lab's own threads.

use std::{
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use nix::sys::socket::{setsockopt, sockopt};

use crate::{Failed, Host, host::joined, traffic};

/// One host and where it is reached.
#[derive(Clone, Copy, Debug)]
pub struct End<'a> {
    /// The host.
    pub host: &'a Host,
    /// Its address.
    pub ip: Ipv4Addr,
}

/// What became of datagrams.
#[derive(Clone, Copy, Debug)]
pub struct Datagrams {
    /// Received per second of sending.
    pub rate: f64,
    /// Lost ones, percent of those sent.
    pub loss: f64,
}

/// How datagrams are sent.
#[derive(Clone, Copy, Debug)]
pub struct Flow {
    /// Bytes of payload.
    pub size: usize,
    /// Datagrams per second; `None` as fast as one thread can.
    pub rate: Option<f64>,
    /// Whether the kernel is given many at once (`UDP_SEGMENT`).
    pub trains: bool,
    /// For how long.
    pub duration: Duration,
}

/// Round trips, in microseconds.
#[derive(Clone, Copy, Debug)]
pub struct Trips {
    /// Half of them were faster.
    pub p50: f64,
    /// All but one in a hundred were.
    pub p99: f64,
}

/// Bits per second of several TCP streams at once.
///
/// # Errors
/// When one breaks.
pub fn streams(pairs: &[(End<'_>, End<'_>)], duration: Duration) -> Result<f64, Failed> {
    thread::scope(|scope| {
        let running: Vec<_> = pairs
            .iter()
            .map(|(from, to)| scope.spawn(|| traffic::tcp(from.host, to.host, to.ip, duration)))
            .collect();
        let mut sum = 0.0;
        for stream in running {
            sum += stream
                .join()
                .unwrap_or_else(|_| Err(Failed::new("a stream panicked")))?;
        }
        Ok(sum)
    })
}

/// Sends a flow and counts what arrives.
///
/// # Errors
/// When there is no socket.
pub fn datagrams(from: End<'_>, to: End<'_>, flow: Flow) -> Result<Datagrams, Failed> {
    let ip = to.ip;
    let socket = to.host.inside(move || Ok(UdpSocket::bind((ip, 0))?))?;
    let target = socket.local_addr()?;
    // Room for bursts of the sender, so that the contender is what loses. Refusal leaves the default.
    let _ = setsockopt(&socket, sockopt::RcvBufForce, &RECEIVE_BUFFER);
    socket.set_read_timeout(Some(Duration::from_millis(200)))?;
    let done = Arc::new(AtomicBool::new(false));
    let heard = Arc::new(AtomicU64::new(0));
    let ear = {
        let (done, heard) = (Arc::clone(&done), Arc::clone(&heard));
        to.host.beside(move || {
            let mut datagram = [0; 2048];
            loop {
                match socket.recv(&mut datagram) {
                    Ok(_) => {
                        heard.fetch_add(1, Ordering::Relaxed);
                    }
                    Err(_) if done.load(Ordering::Acquire) => return Ok(()),
                    Err(_) => {}
                }
            }
        })
    };
    let sent = from.host.inside(move || emit(target, flow));
    done.store(true, Ordering::Release);
    joined(ear)?;
    let (sent, took) = sent?;
    let heard = float(heard.load(Ordering::Relaxed));
    Ok(Datagrams {
        rate: heard / took.as_secs_f64(),
        loss: (float(sent) - heard).max(0.0) / float(sent.max(1)) * 100.0,
    })
}

/// The highest rate of datagrams of `size` bytes of which under half a percent is lost.
///
/// # Errors
/// When there is no socket.
pub fn highest(
    from: End<'_>,
    to: End<'_>,
    size: usize,
    duration: Duration,
) -> Result<Datagrams, Failed> {
    let mut best = Datagrams {
        rate: 0.0,
        loss: 0.0,
    };
    let (mut good, mut bad) = (0.0, None);
    let mut rate = 20_000.0;
    for _ in 0..SEARCH {
        let flow = Flow {
            size,
            rate: Some(rate),
            trains: false,
            duration,
        };
        let got = datagrams(from, to, flow)?;
        // A sender that cannot keep the pace has found its own limit.
        let kept_pace = got.rate > rate * 0.95;
        if got.loss < 0.5 {
            if got.rate > best.rate {
                best = got;
            }
            if !kept_pace {
                break;
            }
            good = rate;
        } else {
            bad = Some(rate);
        }
        rate = match bad {
            None => rate * 1.6,
            Some(bad) if bad - good < 0.08 * bad => break,
            Some(bad) => f64::midpoint(good, bad),
        };
    }
    Ok(best)
}

/// Round trips of small datagrams, one at a time.
///
/// # Errors
/// When there is no socket, or nothing comes back.
pub fn trips(from: End<'_>, to: End<'_>, count: u32, every: Duration) -> Result<Trips, Failed> {
    let ip = to.ip;
    let echo = to.host.inside(move || Ok(UdpSocket::bind((ip, 0))?))?;
    let target = echo.local_addr()?;
    echo.set_read_timeout(Some(Duration::from_secs(2)))?;
    let mirror = to.host.beside(move || {
        let mut datagram = [0; 256];
        while let Ok((length, from)) = echo.recv_from(&mut datagram) {
            if length == 1 {
                break;
            }
            echo.send_to(&datagram[..length], from)?;
        }
        Ok(())
    });
    let mut times = from.host.inside(move || {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        socket.connect(target)?;
        socket.set_read_timeout(Some(Duration::from_millis(500)))?;
        let mut times = Vec::new();
        let mut answer = [0; 256];
        for serial in 0..count {
            let begun = Instant::now();
            let mut question = [0; 64];
            question[..4].copy_from_slice(&serial.to_be_bytes());
            socket.send(&question)?;
            // Late answers to earlier questions are not this one's.
            while socket.recv(&mut answer).is_ok() {
                if answer[..4] == question[..4] {
                    times.push(begun.elapsed());
                    break;
                }
            }
            thread::sleep(every.saturating_sub(begun.elapsed()));
        }
        socket.send(&[0])?;
        Ok(times)
    })?;
    joined(mirror)?;
    times.sort_unstable();
    let at = |percent: usize| {
        times
            .get((times.len() * percent / 100).min(times.len().saturating_sub(1)))
            .map(|time| time.as_secs_f64() * 1e6)
            .ok_or_else(|| Failed::new("no round trip was completed"))
    };
    Ok(Trips {
        p50: at(50)?,
        p99: at(99)?,
    })
}

fn emit(target: SocketAddr, flow: Flow) -> Result<(u64, Duration), Failed> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    socket.connect(target)?;
    let per_call = if flow.trains {
        let size = i32::try_from(flow.size).unwrap_or(i32::MAX);
        setsockopt(&socket, sockopt::UdpGsoSegment, &size)
            .map_err(|errno| Failed::new(format!("UDP_SEGMENT: {errno}")))?;
        (60_000 / flow.size).max(1)
    } else {
        1
    };
    let bytes = vec![0x5a; flow.size * per_call];
    let started = Instant::now();
    let mut sent = 0_u64;
    loop {
        let elapsed = started.elapsed();
        if elapsed >= flow.duration {
            return Ok((sent, elapsed));
        }
        if let Some(rate) = flow.rate
            && float(sent) > rate * elapsed.as_secs_f64()
        {
            thread::sleep(Duration::from_micros(200));
            continue;
        }
        for _ in 0..BURST {
            // A full queue is the contender's loss as much as the wire's: counted as sent.
            let _ = socket.send(&bytes);
            sent += per_call as u64;
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
fn float(count: u64) -> f64 {
    count as f64
}

/// Datagrams between two looks at the clock.
const BURST: u32 = 8;
/// Steps of the search for a rate.
const SEARCH: u32 = 14;
/// Bytes that may wait at the receiver.
const RECEIVE_BUFFER: usize = 8 << 20;
