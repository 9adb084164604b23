//! Where every contender is measured: two hosts and one cable between them.
//!
//! In: a lab. Out: the two hosts, their underlay addresses, what runs on them. Never: anything on the cable but the contender.

use std::{collections::BTreeSet, fs, net::Ipv4Addr, time::Duration};

use crate::{Failed, Host, Lab, internet::link, process, zt::until};

/// Two hosts joined by one cable.
#[derive(Debug)]
pub struct Ground {
    /// One end.
    pub a: Host,
    /// The other.
    pub b: Host,
}

impl Ground {
    /// Lays the cable.
    ///
    /// # Errors
    /// When the kernel or a tool refuses.
    pub fn new(lab: &Lab) -> Result<Self, Failed> {
        let (a, b) = (lab.host("a")?, lab.host("b")?);
        link(
            (&a, "wan", &format!("{UNDER_A}/24")),
            (&b, "wan", &format!("{UNDER_B}/24")),
        )?;
        // Some programs look for their own address by the way to the world (vpncloud ends without one).
        for (host, over, other) in [(&a, 1, UNDER_B), (&b, 2, UNDER_A)] {
            host.ip(&format!(
                "addr add 2001:db8::{over}/64 dev wan\nroute add default via {other}\n-6 route add default via 2001:db8::{}",
                3 - over
            ))?;
        }
        Ok(Self { a, b })
    }

    /// Ends every program on both hosts and waits until they are gone, devices and all.
    ///
    /// # Errors
    /// When one does not end.
    pub fn clear(&self) -> Result<(), Failed> {
        for host in [&self.a, &self.b] {
            for pid in pids(host)? {
                process::kill(&pid.to_string());
            }
            until(Duration::from_secs(5), "programs do not end", || {
                Ok(pids(host)?.is_empty())
            })?;
        }
        Ok(())
    }

    /// The programs that run on both hosts.
    ///
    /// # Errors
    /// With the words of `ip`.
    pub fn programs(&self) -> Result<Vec<u32>, Failed> {
        let mut all = pids(&self.a)?;
        all.extend(pids(&self.b)?);
        Ok(all.into_iter().collect())
    }
}

/// Resident memory of the largest of these processes, in bytes.
pub fn largest(pids: &[u32]) -> u64 {
    pids.iter()
        .filter_map(|pid| fs::read_to_string(format!("/proc/{pid}/status")).ok())
        .filter_map(|status| {
            let kib = status
                .lines()
                .find_map(|line| line.strip_prefix("VmRSS:"))?;
            kib.split_whitespace().next()?.parse::<u64>().ok()
        })
        .max()
        .unwrap_or(0)
        * 1024
}

/// Seconds of processor time that the whole machine has spent so far, idle and waiting time not counted.
///
/// # Errors
/// When `/proc/stat` is not as it always was.
pub fn busy() -> Result<f64, Failed> {
    let stat = fs::read_to_string("/proc/stat")?;
    let fields: Vec<u32> = stat
        .lines()
        .next()
        .unwrap_or("")
        .split_whitespace()
        .skip(1)
        .filter_map(|field| field.parse::<u64>().ok())
        // Differences are what counts; the lower half is enough for them.
        .map(|ticks| u32::try_from(ticks & 0x7fff_ffff).unwrap_or(0))
        .collect();
    // user nice system IDLE IOWAIT irq softirq
    match fields.as_slice() {
        [user, nice, system, _, _, irq, softirq, ..] => Ok([user, nice, system, irq, softirq]
            .into_iter()
            .map(|ticks| f64::from(*ticks) / TICKS)
            .sum()),
        _ => Err(Failed::new("/proc/stat has no line of all processors")),
    }
}

fn pids(host: &Host) -> Result<BTreeSet<u32>, Failed> {
    let said = process::tool("ip", &["netns", "pids", host.namespace()])?;
    Ok(said
        .split_whitespace()
        .filter_map(|pid| pid.parse().ok())
        .collect())
}

/// The underlay's addresses.
pub const UNDER_A: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);
/// The other end's.
pub const UNDER_B: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 2);
/// Ticks of `/proc/stat` per second: `USER_HZ`, the same on every Linux that Rust runs on.
const TICKS: f64 = 100.0;
