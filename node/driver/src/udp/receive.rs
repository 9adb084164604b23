//! Receives datagrams by the batch and splits what the kernel has joined (`UDP_GRO`).
//!
//! Owner: the worker. In: a socket. Out: one call per datagram, in the order of arrival.
//! Never: a datagram cut short that looks whole; an error that ends receiving.
#![allow(unsafe_code)]

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, BorrowedFd};

use super::address::{self, ROOM, Room};

/// Room for one batch.
#[derive(Debug)]
pub struct Receiver {
    bytes: Vec<u8>,
    next: usize,
}

impl Receiver {
    /// Room for one batch; the pages are touched only when datagrams fill them.
    pub fn new() -> Self {
        Self {
            bytes: vec![0; MESSAGES * LARGEST],
            next: FEWEST,
        }
    }

    /// What was received last, each datagram where it was shown.
    pub fn buffer(&self) -> &[u8] {
        &self.bytes
    }

    /// Receives what waits, at most one batch, and shows each datagram once.
    pub fn batch(
        &mut self,
        socket: BorrowedFd<'_>,
        show: impl FnMut(SocketAddr, &mut [u8]),
    ) -> Batch {
        // A lone datagram waits for every line of memory that is touched before it: few where few are likely.
        if self.next <= FEWEST {
            self.batch_of::<FEWEST>(socket, show)
        } else {
            self.batch_of::<MESSAGES>(socket, show)
        }
    }

    fn batch_of<const MOST: usize>(
        &mut self,
        socket: BorrowedFd<'_>,
        mut show: impl FnMut(SocketAddr, &mut [u8]),
    ) -> Batch {
        let asked = self.next.min(MOST);
        let mut rooms = [address::empty(); MOST];
        let mut controls = [Control::EMPTY; MOST];
        // SAFETY: plain old data of the C library; zeroes are a value of each field.
        let mut parts: [libc::iovec; MOST] = unsafe { core::mem::zeroed() };
        // SAFETY: as above.
        let mut headers: [libc::mmsghdr; MOST] = unsafe { core::mem::zeroed() };
        let buffers = self.bytes.chunks_exact_mut(LARGEST).take(asked);
        for (index, buffer) in buffers.enumerate() {
            parts[index].iov_base = buffer.as_mut_ptr().cast();
            parts[index].iov_len = LARGEST;
            let header = &mut headers[index].msg_hdr;
            header.msg_name = (&raw mut rooms[index]).cast();
            header.msg_namelen = ROOM;
            header.msg_iov = &raw mut parts[index];
            header.msg_iovlen = 1;
            header.msg_control = (&raw mut controls[index]).cast();
            header.msg_controllen = size_of::<Control>() as _;
        }
        // SAFETY: each header points into arrays and a buffer that live, unmoved, until the call returns; the
        // lengths say how large they are; no time-out is given.
        let count = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                headers.as_mut_ptr(),
                // At most `MOST`.
                u32::try_from(asked).unwrap_or(0),
                libc::MSG_DONTWAIT,
                core::ptr::null_mut(),
            )
        };
        let Ok(count) = usize::try_from(count) else {
            // Nothing waits, or an ICMP error of some destination was queued: reading it has removed it.
            let more = io::Error::last_os_error().kind() != io::ErrorKind::WouldBlock;
            self.next = FEWEST;
            return Batch { bytes: 0, more };
        };
        let mut bytes = 0;
        for index in 0..count.min(MOST) {
            let header = &headers[index];
            let length = usize::try_from(header.msg_len).unwrap_or(0).min(LARGEST);
            bytes += length;
            let Some(from) = from(&rooms[index]) else {
                continue;
            };
            let (used, flags) = (header.msg_hdr.msg_controllen, header.msg_hdr.msg_flags);
            let buffer = &mut self.bytes[index * LARGEST..][..length];
            controls[index].split(used, flags, buffer, |datagram| show(from, datagram));
        }
        let more = count == asked;
        self.next = if more { ahead(count, bytes) } else { FEWEST };
        Batch { bytes, more }
    }
}

/// What a batch was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Bytes received.
    pub bytes: usize,
    /// Whether more may wait.
    pub more: bool,
}

/// Messages to ask for after so many with so many bytes: about [`AHEAD`], so that a batch of joined ones does not keep
/// the others waiting for a millisecond.
fn ahead(count: usize, bytes: usize) -> usize {
    (AHEAD * count / bytes.max(1)).clamp(FEWEST, MESSAGES)
}

impl Default for Receiver {
    fn default() -> Self {
        Self::new()
    }
}

/// Asks the kernel to join datagrams of one source; returns whether it knows how. One that does not gives them one by one.
pub fn prepare(socket: BorrowedFd<'_>) -> bool {
    super::send::set_option(socket, libc::SOL_UDP, libc::UDP_GRO, 1)
}

fn from(room: &Room) -> Option<SocketAddr> {
    address::get(room).filter(|from| from.port() != 0)
}

/// Room for one control message with an `int` (header 16, value 4, padding 4 on 64-bit machines), and some to spare.
#[repr(C, align(8))]
#[derive(Clone, Copy)]
struct Control([u8; 64]);

impl Control {
    const EMPTY: Self = Self([0; 64]);

    /// Shows the datagrams of one message with `used` bytes of control messages, each once and whole.
    fn split(&self, used: usize, flags: i32, bytes: &mut [u8], mut show: impl FnMut(&mut [u8])) {
        let size = self.segment(used);
        // What is cut short is no datagram any more; what lost its control messages is perhaps several.
        if flags & libc::MSG_TRUNC != 0 || (flags & libc::MSG_CTRUNC != 0 && size.is_none()) {
            return;
        }
        match size {
            Some(size) if size < bytes.len() => bytes.chunks_mut(size).for_each(show),
            Some(_) | None => show(bytes),
        }
    }

    /// The size of the joined datagrams, from the control message `UDP_GRO`; `None` where nothing was joined.
    fn segment(&self, used: usize) -> Option<usize> {
        let mut rest = self.0.get(..used.min(self.0.len()))?;
        loop {
            let (length, behind) = rest.split_first_chunk::<WORD>()?;
            let (level, behind) = behind.split_first_chunk()?;
            let (kind, _) = behind.split_first_chunk()?;
            let length = usize::from_ne_bytes(*length);
            let value = rest.get(HEADER..length)?;
            if (i32::from_ne_bytes(*level), i32::from_ne_bytes(*kind))
                == (libc::SOL_UDP, libc::UDP_GRO)
            {
                let size = i32::from_ne_bytes(*value.first_chunk()?);
                return usize::try_from(size).ok().filter(|size| *size > 0);
            }
            rest = rest.get(length.next_multiple_of(WORD)..)?;
        }
    }
}

/// Bytes of a control message's header, which begins with its length.
const HEADER: usize = size_of::<libc::cmsghdr>();
const WORD: usize = size_of::<usize>();
/// Most messages of one batch.
const MESSAGES: usize = 32;
/// Fewest messages of one batch.
const FEWEST: usize = 4;
/// Bytes of one batch, about: 0.2 ms of opening and writing.
const AHEAD: usize = 256 << 10;
/// Largest UDP payload and largest joined one, bytes.
const LARGEST: usize = 65_536;

#[cfg(test)]
mod tests {
    use super::*;

    /// Control messages as the kernel lays them out: level, type, value.
    fn control(messages: &[(i32, i32, &[u8])]) -> (Control, usize) {
        let mut bytes = Vec::new();
        for (level, kind, value) in messages {
            bytes.extend((HEADER + value.len()).to_ne_bytes());
            bytes.extend(level.to_ne_bytes());
            bytes.extend(kind.to_ne_bytes());
            bytes.extend(*value);
            bytes.resize(bytes.len().next_multiple_of(WORD), 0);
        }
        let mut control = Control::EMPTY;
        control.0[..bytes.len()].copy_from_slice(&bytes);
        (control, bytes.len())
    }

    fn joined(size: i32) -> (Control, usize) {
        control(&[(libc::SOL_UDP, libc::UDP_GRO, &size.to_ne_bytes())])
    }

    /// The lengths of the datagrams that are shown of a message of ten bytes; their bytes are checked.
    fn split((control, used): (Control, usize), flags: i32) -> Vec<usize> {
        let mut bytes = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9];
        let (mut lengths, mut all) = (Vec::new(), Vec::new());
        control.split(used, flags, &mut bytes, |datagram| {
            lengths.push(datagram.len());
            all.extend_from_slice(datagram);
        });
        assert!(all.is_empty() || all == bytes, "{all:?}");
        lengths
    }

    #[test]
    fn joined_datagrams_are_split_where_the_kernel_says() {
        assert_eq!(split(joined(4), 0), [4, 4, 2]);
        assert_eq!(split(joined(5), 0), [5, 5]);
        assert_eq!(split(joined(1), 0), [1; 10]);
        assert_eq!(split((Control::EMPTY, 0), 0), [10], "nothing was joined");
    }

    #[test]
    fn a_size_that_cannot_be_splits_nothing() {
        for size in [0, -1, i32::MIN, 10, 11, 65_536, i32::MAX] {
            assert_eq!(split(joined(size), 0), [10], "{size}");
        }
    }

    #[test]
    fn other_control_messages_are_stepped_over_and_malformed_ones_split_nothing() {
        let size = 4_i32.to_ne_bytes();
        let ours: (i32, i32, &[u8]) = (libc::SOL_UDP, libc::UDP_GRO, &size);
        let other: (i32, i32, &[u8]) = (libc::SOL_SOCKET, 29, &[7; 12]);
        assert_eq!(split(control(&[other, ours]), 0), [4, 4, 2]);
        assert_eq!(split(control(&[other]), 0), [10]);
        let short: (i32, i32, &[u8]) = (libc::SOL_UDP, libc::UDP_GRO, &size[..2]);
        assert_eq!(split(control(&[short]), 0), [10]);
        let (whole, used) = joined(4);
        for cut in 0..HEADER + 4 {
            assert_eq!(split((whole, cut), 0), [10], "only {cut} of {used} bytes");
        }
        for length in [0, 1, HEADER - 1, HEADER + 3, 64, 65, usize::MAX] {
            let (mut lying, used) = joined(4);
            lying.0[..WORD].copy_from_slice(&length.to_ne_bytes());
            assert_eq!(split((lying, used), 0), [10], "{length}");
        }
        assert_eq!(split((whole, usize::MAX), 0), [4, 4, 2]);
    }

    #[test]
    fn what_was_cut_off_is_not_taken_for_a_datagram() {
        let none: [usize; 0] = [];
        assert_eq!(split(joined(4), libc::MSG_TRUNC), none);
        assert_eq!(split((Control::EMPTY, 0), libc::MSG_CTRUNC), none);
        assert_eq!(split(joined(4), libc::MSG_CTRUNC), [4, 4, 2]);
    }

    #[test]
    fn an_empty_datagram_is_shown_once() {
        let mut shown = 0;
        for (control, used) in [(Control::EMPTY, 0), joined(4)] {
            control.split(used, 0, &mut [], |bytes| shown += 1 + bytes.len());
        }
        assert_eq!(shown, 2);
    }

    #[test]
    fn a_batch_of_large_messages_has_fewer_of_them() {
        assert_eq!(ahead(16, 16 * 65_000), 4);
        assert_eq!(ahead(8, 8 * 20_000), 13);
        assert_eq!(ahead(1, 100), MESSAGES);
        assert_eq!(ahead(0, 0), FEWEST, "nothing came");
    }
}
