//! TAP devices: one file per network, super frames with their virtio header in both directions.
//!
//! Owner: the worker. In: a name, a MAC, frames. Out: frames as the kernel has them, with what it left undone.
//! Never: a device that existed before; a virtio header taken from a peer.

pub(crate) mod checksum;
mod coalesce;
mod flow;
mod header;
mod ioctl;
mod packet;
mod waiting;
mod write;

use std::fmt;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use zt_engine::shard::{Offload, TapFrame};
use zt_wire::{Mac, NetworkId};

use crate::offload::{Offload as Kernel, Offloads};
use checksum::Rebuilt;
pub use coalesce::{Arena, Coalescer, Joins};
pub use header::VirtioHeader;
use ioctl::Queue;
pub use packet::Packets;
use write::Writer;

/// An open device. It disappears with the value.
#[derive(Debug)]
pub struct Tap {
    file: OwnedFd,
    name: String,
    mac: Mac,
    coalescer: Coalescer,
    writer: Writer,
}

/// What a read brought.
#[derive(Debug)]
pub enum Read {
    /// A frame, at this place in the buffer.
    Frame(Range<usize>, Offload),
    /// Something this program did not ask for; it goes no further.
    Odd,
    /// Nothing waits.
    Empty,
    /// The device is gone, with the kernel's reason.
    Gone(String),
}

impl Tap {
    /// Makes the device `name` with those of `offloads` that the kernel knows.
    ///
    /// # Errors
    /// [`NoTap`] with what could not be done and why.
    pub fn open(name: &str, mac: Mac, offloads: &Offloads) -> Result<Self, NoTap> {
        Self::make(name, mac, offloads, Queue::Only)
    }

    /// The same, with [`Self::queue`] for more files of it.
    ///
    /// # Errors
    /// [`NoTap`] with what could not be done and why.
    pub fn open_with_queues(name: &str, mac: Mac, offloads: &Offloads) -> Result<Self, NoTap> {
        Self::make(name, mac, offloads, Queue::First)
    }

    /// One more queue of a device made with [`Self::open_with_queues`]. The kernel gives each flow's frames to the queue
    /// that the flow's answers were written to last.
    ///
    /// # Errors
    /// [`NoTap`] with what could not be done and why.
    pub fn queue(&self) -> Result<Self, NoTap> {
        Ok(Self {
            file: file(&self.name, Queue::Further)?,
            name: self.name.clone(),
            mac: self.mac,
            coalescer: Coalescer::default(),
            writer: Writer::new(self.writer.joins()),
        })
    }

    /// Lets the kernel put frames into this queue, or no more. One without any gets them all the same.
    pub fn attach(&self, attached: bool) {
        if let Err(errno) = ioctl::attach(self.file.as_fd(), attached) {
            tracing::debug!(device = self.name, attached, %errno, "a queue stays as it is");
        }
    }

    fn make(name: &str, mac: Mac, offloads: &Offloads, queue: Queue) -> Result<Self, NoTap> {
        let failed = |step| failed(name, step);
        let file = file(name, queue)?;
        ioctl::set_mac(file.as_fd(), name, mac.to_bytes()).map_err(failed(Step::Mac))?;
        let known = offer(bits(offloads), |features| {
            ioctl::set_offload(file.as_fd(), features)
        });
        Ok(Self {
            file,
            name: name.to_owned(),
            mac,
            coalescer: Coalescer::default(),
            writer: Writer::new(joins(offloads, known)),
        })
    }

    /// Writes a frame, at the latest at the next [`Self::flush`]. A frame within `arena` is not copied before that.
    pub fn deliver(&mut self, frame: TapFrame<'_>, arena: Arena) {
        if self.coalescer.follow(frame, arena) {
            return;
        }
        let joins = self.writer.joins();
        match checksum::rebuild(frame) {
            Rebuilt::As(header) => self.coalescer.take(frame, header, arena, joins),
            Rebuilt::Complete { start, offset } => {
                let mut completed = frame.bytes.to_vec();
                checksum::complete(&mut completed, start, offset);
                let frame = TapFrame::plain(&completed);
                self.coalescer
                    .take(frame, VirtioHeader::default(), arena, joins);
            }
            Rebuilt::Nonsense => self.writer.lose(),
        }
    }

    /// Writes what waits. `buffer` is what the arena of all frames since the last time was made of; where there was
    /// none, an empty one.
    pub fn flush(&mut self, buffer: &[u8]) {
        let Self {
            coalescer,
            file,
            writer,
            ..
        } = self;
        if !coalescer.is_empty() {
            coalescer.flush(buffer, |frame, buffer| writer.write(file, frame, buffer));
        }
    }

    /// Reads the next frame into `buffer`, which has room for [`LARGEST_READ`] bytes.
    pub fn read(&self, buffer: &mut [u8]) -> Read {
        let length = match rustix::io::read(&self.file, &mut *buffer) {
            Ok(length) => length,
            Err(Errno::WOULDBLOCK | Errno::INTR) => return Read::Empty,
            Err(Errno::BADFD) => return Read::Gone(format!("device {} was removed", self.name)),
            Err(errno) => return Read::Gone(format!("device {}: {errno}", self.name)),
        };
        let Some((head, frame)) = buffer[..length].split_first_chunk::<{ header::LEN }>() else {
            return Read::Odd;
        };
        match offload(VirtioHeader::from_bytes(*head)) {
            Some(offload) if !frame.is_empty() => Read::Frame(header::LEN..length, offload),
            _ => Read::Odd,
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its MAC.
    pub const fn mac(&self) -> Mac {
        self.mac
    }

    /// Frames that the kernel did not take.
    pub const fn lost(&self) -> u64 {
        self.writer.lost()
    }
}

/// A file that is a queue of the device.
fn file(name: &str, queue: Queue) -> Result<OwnedFd, NoTap> {
    let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = rustix::fs::open(c"/dev/net/tun", flags, Mode::empty())
        .map_err(failed(name, Step::Open))?;
    ioctl::set_interface(file.as_fd(), name, queue).map_err(failed(name, Step::Make))?;
    Ok(file)
}

fn failed(name: &str, step: Step) -> impl FnOnce(Errno) -> NoTap {
    let name = name.to_owned();
    move |errno| NoTap { name, step, errno }
}

impl AsFd for Tap {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// The name of a network's device: always the same for the same network, at most 15 characters.
pub fn name(network: NetworkId) -> String {
    let hash = zt_crypto::hash256(&network.to_bytes());
    let letters = hash
        .iter()
        .take(NAME_LETTERS)
        .map(|byte| char::from(ALPHABET[usize::from(byte & 31)]));
    PREFIX.chars().chain(letters).collect()
}

/// Whether a device of this name is an overlay's, perhaps of another program on this machine.
pub fn is_overlay(name: &str) -> bool {
    name.strip_prefix(PREFIX).is_some_and(|rest| {
        rest.len() == NAME_LETTERS && rest.bytes().all(|byte| ALPHABET.contains(&byte))
    })
}

/// A device could not be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoTap {
    name: String,
    step: Step,
    errno: Errno,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Open,
    Make,
    Mac,
}

impl NoTap {
    /// Whether another program has a device of this name.
    pub fn in_use(&self) -> bool {
        self.step == Step::Make && self.errno == Errno::BUSY
    }
}

impl fmt::Display for NoTap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, step, errno } = self;
        match (step, *errno) {
            (Step::Open, Errno::NOENT | Errno::NODEV) => {
                f.write_str("/dev/net/tun does not exist: load the kernel module `tun`")
            }
            (Step::Open, errno) => write!(f, "/dev/net/tun: {errno}"),
            (Step::Make, Errno::BUSY) => write!(
                f,
                "device {name} exists already and belongs to another program"
            ),
            (Step::Make, Errno::PERM) => write!(f, "device {name}: CAP_NET_ADMIN is needed"),
            (Step::Make, errno) => write!(f, "device {name} cannot be made: {errno}"),
            (Step::Mac, errno) => write!(f, "device {name} does not take its MAC: {errno}"),
        }
    }
}

impl std::error::Error for NoTap {}

/// Largest read: virtio header, Ethernet header with two tags, 64 KiB.
pub const LARGEST_READ: usize = header::LEN + 22 + 65_536;

/// UDP in super frames.
const USO: u32 = libc::TUN_F_USO4 | libc::TUN_F_USO6;
/// First letters of each overlay device.
const PREFIX: &str = "zt";
/// Letters after the prefix: 40 bits of the network id's hash.
const NAME_LETTERS: usize = 8;
/// Letters and digits that cannot be mistaken for each other.
const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";

/// Tells the kernel what we understand; older ones get less, then nothing. Returns what it took.
fn offer(all: u32, mut set: impl FnMut(u32) -> Result<(), Errno>) -> u32 {
    let without_uso = all & !USO;
    let checksum = all & libc::TUN_F_CSUM;
    for features in [all, without_uso, checksum] {
        match set(features) {
            Ok(()) => return features,
            Err(errno) => {
                tracing::info!(%errno, features, "the kernel does not know these offloads, trying fewer");
            }
        }
    }
    0
}

/// What is worth joining before it is written to a device that knows these features.
fn joins(offloads: &Offloads, known: u32) -> Joins {
    // A super frame leaves its checksum to the kernel.
    let joins = offloads.has(Kernel::Coalesce) && offloads.has(Kernel::Checksum);
    Joins {
        tcp: joins,
        // Kernels that give UDP in super frames take them, too: both came with Linux 6.2.
        udp: joins && known & USO != 0,
    }
}

fn bits(offloads: &Offloads) -> u32 {
    // Everything rests on open checksums: the kernel refuses the others without them.
    if !offloads.has(Kernel::Checksum) {
        return 0;
    }
    let tso4 = (Kernel::Tso4, libc::TUN_F_TSO4);
    let tso6 = (Kernel::Tso6, libc::TUN_F_TSO6);
    let uso = (Kernel::Uso, USO);
    let mut bits = libc::TUN_F_CSUM;
    for (offload, features) in [tso4, tso6, uso] {
        if offloads.has(offload) {
            bits |= features;
        }
    }
    if offloads.has(Kernel::Ecn) && bits & (libc::TUN_F_TSO4 | libc::TUN_F_TSO6) != 0 {
        bits |= libc::TUN_F_TSO_ECN;
    }
    bits
}

/// What the kernel left undone; `None` for something we did not offer to finish.
const fn offload(header: VirtioHeader) -> Option<Offload> {
    let segment = header.segment;
    match header.kind & !header::GSO_ECN {
        header::GSO_NONE if header.flags & header::NEEDS_CSUM != 0 => Some(Offload::Checksum {
            start: header.start,
            offset: header.offset,
        }),
        header::GSO_NONE => Some(Offload::None),
        header::GSO_TCPV4 | header::GSO_TCPV6 if segment > 0 => Some(Offload::Tcp { segment }),
        header::GSO_UDP_L4 if segment > 0 => Some(Offload::Udp { segment }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_networks_device_always_has_the_same_short_name() {
        let one: NetworkId = "89abcdef01000001".parse().unwrap();
        let two: NetworkId = "89abcdef01000002".parse().unwrap();
        assert_eq!(name(one), name(one));
        assert_ne!(name(one), name(two));
        assert!(name(one).len() <= 15);
        assert!(is_overlay(&name(one)) && !is_overlay("zt0") && !is_overlay("eth0"));
    }

    #[test]
    fn offloads_that_were_not_offered_are_odd() {
        let of = |kind, segment| {
            offload(VirtioHeader {
                kind,
                segment,
                ..VirtioHeader::default()
            })
        };
        assert_eq!(of(header::GSO_NONE, 0), Some(Offload::None));
        assert_eq!(
            of(header::GSO_TCPV4 | header::GSO_ECN, 1460),
            Some(Offload::Tcp { segment: 1460 })
        );
        assert_eq!(of(header::GSO_TCPV6, 0), None);
        assert_eq!(of(3, 1460), None, "UFO is not asked for");
    }

    #[test]
    fn an_offload_that_is_switched_off_is_not_offered() {
        assert_ne!(bits(&Offloads::default()) & USO, 0);
        let without = |offload| bits(&Offloads::without(&[offload]));
        assert_eq!(without(Kernel::Uso) & USO, 0);
        assert_eq!(without(Kernel::Checksum), 0, "the others rest on it");
        let no_tcp = bits(&Offloads::without(&[Kernel::Tso4, Kernel::Tso6]));
        assert_eq!(no_tcp & libc::TUN_F_TSO_ECN, 0);
    }

    #[test]
    fn a_kernel_that_knows_fewer_offloads_gets_fewer_and_no_joined_datagrams() {
        let all = bits(&Offloads::default());
        let of = |known: u32| {
            offer(all, |wanted| {
                if wanted & !known == 0 {
                    Ok(())
                } else {
                    Err(Errno::INVAL)
                }
            })
        };
        assert_eq!(of(all), all);
        assert_eq!(of(all & !USO), all & !USO, "before Linux 6.2");
        assert_eq!(of(libc::TUN_F_CSUM), libc::TUN_F_CSUM);
        assert_eq!(of(0), 0);
        let (tcp, udp) = (true, true);
        let every = Offloads::default();
        assert_eq!(joins(&every, all), Joins { tcp, udp });
        assert_eq!(joins(&every, all & !USO), Joins { tcp, udp: false });
        let none = Joins {
            tcp: false,
            udp: false,
        };
        assert_eq!(joins(&Offloads::without(&[Kernel::Coalesce]), all), none);
    }

    #[test]
    fn a_device_with_queues_is_made_once_and_lives_until_its_last_queue() {
        let mac = Mac::from_bytes([2, 0, 0x5e, 0, 0x53, 2]);
        let name = "ztdrvtest1";
        let first = Tap::open_with_queues(name, mac, &Offloads::default()).unwrap();
        let further = first.queue().unwrap();
        let queues = || std::fs::read_dir(format!("/sys/class/net/{name}/queues")).unwrap();
        let sending = || {
            queues()
                .filter(|entry| {
                    let name = entry.as_ref().unwrap().file_name();
                    name.to_string_lossy().starts_with("tx")
                })
                .count()
        };
        assert_eq!(sending(), 2);
        further.attach(false);
        assert_eq!(sending(), 1, "it gets no frames");
        further.attach(true);
        assert_eq!(sending(), 2);
        assert!(
            Tap::open(name, mac, &Offloads::default())
                .unwrap_err()
                .in_use()
        );
        let second = Tap::open_with_queues(name, mac, &Offloads::default());
        assert!(second.unwrap_err().in_use());
        drop(first);
        assert_eq!(sending(), 1);
    }

    #[test]
    fn a_device_is_made_once_and_disappears_with_its_file() {
        let mac = Mac::from_bytes([2, 0, 0x5e, 0, 0x53, 1]);
        let name = "ztdrvtest0";
        let path = format!("/sys/class/net/{name}/address");
        let tap = Tap::open(name, mac, &Offloads::default()).unwrap();
        assert_eq!(
            std::fs::read_to_string(&path).unwrap().trim(),
            mac.to_string()
        );
        let second = Tap::open(name, mac, &Offloads::default()).unwrap_err();
        assert!(
            second.to_string().contains("belongs to another program"),
            "{second}"
        );
        drop(tap);
        assert!(std::fs::exists(&path).is_ok_and(|there| !there));
    }
}
