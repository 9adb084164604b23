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
            next: MESSAGES,
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
        mut show: impl FnMut(SocketAddr, &mut [u8]),
    ) -> Batch {
        let asked = self.next;
        let mut rooms = [address::empty(); MESSAGES];
        let mut controls = [Control::EMPTY; MESSAGES];
        // SAFETY: plain old data of the C library; zeroes are a value of each field.
        let mut parts: [libc::iovec; MESSAGES] = unsafe { core::mem::zeroed() };
        // SAFETY: as above.
        let mut headers: [libc::mmsghdr; MESSAGES] = unsafe { core::mem::zeroed() };
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
                // At most `MESSAGES`.
                u32::try_from(asked).unwrap_or(0),
                libc::MSG_DONTWAIT,
                core::ptr::null_mut(),
            )
        };
        let Ok(count) = usize::try_from(count) else {
            // Nothing waits, or an ICMP error of some destination was queued: reading it has removed it.
            let more = io::Error::last_os_error().kind() != io::ErrorKind::WouldBlock;
            return Batch { bytes: 0, more };
        };
        let mut bytes = 0;
        for index in 0..count.min(MESSAGES) {
            let header = &headers[index];
            let length = usize::try_from(header.msg_len).unwrap_or(0).min(LARGEST);
            bytes += length;
            if header.msg_hdr.msg_flags & libc::MSG_TRUNC != 0 {
                continue;
            }
            let Some(from) = from(&rooms[index]) else {
                continue;
            };
            let used = header.msg_hdr.msg_controllen;
            let size = controls[index].segment(used).unwrap_or(length).max(1);
            let buffer = &mut self.bytes[index * LARGEST..][..length];
            if length == 0 {
                show(from, buffer);
                continue;
            }
            for datagram in buffer.chunks_mut(size) {
                show(from, datagram);
            }
        }
        self.next = ahead(count, bytes);
        Batch {
            bytes,
            more: count == asked,
        }
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

/// Asks the kernel to join datagrams of one source; one that does not know how gives them one by one.
pub fn prepare(socket: BorrowedFd<'_>) {
    super::send::set_option(socket, libc::SOL_UDP, libc::UDP_GRO, 1);
}

fn from(room: &Room) -> Option<SocketAddr> {
    address::get(room).filter(|from| from.port() != 0)
}

/// Room for one control message with an `int`: header 16, value 4, padding 4 on 64-bit machines.
#[repr(C, align(8))]
#[derive(Clone, Copy)]
struct Control([u8; 64]);

impl Control {
    const EMPTY: Self = Self([0; 64]);

    /// The size of the joined datagrams, from the control message `UDP_GRO`; `None` where nothing was joined.
    fn segment(&self, used: usize) -> Option<usize> {
        const HEADER: usize = size_of::<libc::cmsghdr>();
        const WORD: usize = size_of::<usize>();
        let bytes = self.0.get(..used)?;
        let level = i32::from_ne_bytes(bytes.get(WORD..WORD + 4)?.try_into().ok()?);
        let kind = i32::from_ne_bytes(bytes.get(WORD + 4..WORD + 8)?.try_into().ok()?);
        if level != libc::SOL_UDP || kind != libc::UDP_GRO {
            return None;
        }
        let size = i32::from_ne_bytes(bytes.get(HEADER..HEADER + 4)?.try_into().ok()?);
        usize::try_from(size).ok().filter(|size| *size > 0)
    }
}

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

    #[test]
    fn a_batch_of_large_messages_has_fewer_of_them() {
        assert_eq!(ahead(16, 16 * 65_000), 4);
        assert_eq!(ahead(8, 8 * 20_000), 13);
        assert_eq!(ahead(1, 100), MESSAGES);
        assert_eq!(ahead(0, 0), FEWEST, "nothing came");
    }
}
