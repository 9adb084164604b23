//! The few calls that make a TAP device out of `/dev/net/tun` (Linux, `if_tun.h`, `if.h`).
//!
//! Owner: nobody. In: a file and plain values. Out: the kernel's answer.
//! Never: a pointer that outlives its call.
#![allow(unsafe_code)]

use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::io::Errno;

/// How a file is to be one of a device's queues.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Queue {
    /// The only one that the device will ever have.
    Only,
    /// The first of several.
    First,
    /// One more of a device that has one.
    Further,
}

/// Asks for a TAP device called `name` that does not exist yet, or for a further queue of one that does; the device
/// lives as long as its files.
///
/// # Errors
/// `EBUSY` when the name is taken, `EPERM` without `CAP_NET_ADMIN`, `EINVAL` for a name that is none.
pub fn set_interface(file: BorrowedFd<'_>, name: &str, queue: Queue) -> Result<(), Errno> {
    let mut request = named(name)?;
    let mut flags = libc::IFF_TAP | libc::IFF_NO_PI | libc::IFF_VNET_HDR;
    flags |= match queue {
        Queue::Only => libc::IFF_TUN_EXCL,
        Queue::First => libc::IFF_MULTI_QUEUE | libc::IFF_TUN_EXCL,
        Queue::Further => libc::IFF_MULTI_QUEUE,
    };
    // The kernel's field is 16 bits wide; IFF_TUN_EXCL is its highest bit.
    request.ifr_ifru.ifru_flags = (flags & 0xffff).cast_unsigned_low();
    call(file, libc::TUNSETIFF, (&raw mut request).cast())
}

/// Lets the kernel put frames into this queue, or no more.
///
/// # Errors
/// `EINVAL` when it is so already.
pub fn attach(file: BorrowedFd<'_>, attached: bool) -> Result<(), Errno> {
    // SAFETY: `ifreq` is plain old data of the C library; all zeroes is a valid value of each of its fields.
    let mut request: libc::ifreq = unsafe { core::mem::zeroed() };
    let flags = if attached {
        libc::IFF_ATTACH_QUEUE
    } else {
        libc::IFF_DETACH_QUEUE
    };
    request.ifr_ifru.ifru_flags = flags.cast_unsigned_low();
    call(file, libc::TUNSETQUEUE, (&raw mut request).cast())
}

/// Says which offloads this program understands; the kernel then hands over super frames and open checksums.
///
/// # Errors
/// `EINVAL` when the kernel does not know one of them.
pub fn set_offload(file: BorrowedFd<'_>, features: u32) -> Result<(), Errno> {
    call_value(file, libc::TUNSETOFFLOAD, u64::from(features))
}

/// Sets the device's MAC.
///
/// # Errors
/// `EADDRNOTAVAIL` for a group address, `EPERM` without `CAP_NET_ADMIN`.
pub fn set_mac(file: BorrowedFd<'_>, name: &str, mac: [u8; 6]) -> Result<(), Errno> {
    let mut request = named(name)?;
    let mut address = libc::sockaddr {
        sa_family: libc::ARPHRD_ETHER,
        sa_data: [0; 14],
    };
    for (place, byte) in address.sa_data.iter_mut().zip(mac) {
        *place = libc::c_char::from_ne_bytes([byte]);
    }
    request.ifr_ifru.ifru_hwaddr = address;
    call(file, libc::SIOCSIFHWADDR, (&raw mut request).cast())
}

trait LowBits {
    fn cast_unsigned_low(self) -> libc::c_short;
}

impl LowBits for libc::c_int {
    fn cast_unsigned_low(self) -> libc::c_short {
        let [low, high, ..] = self.to_le_bytes();
        libc::c_short::from_le_bytes([low, high])
    }
}

fn named(name: &str) -> Result<libc::ifreq, Errno> {
    if name.is_empty() || name.len() >= libc::IFNAMSIZ || name.contains(['/', '%', '\0']) {
        return Err(Errno::INVAL);
    }
    // SAFETY: `ifreq` is plain old data of the C library; all zeroes is a valid value of each of its fields.
    let mut request: libc::ifreq = unsafe { core::mem::zeroed() };
    for (place, byte) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *place = libc::c_char::from_ne_bytes([byte]);
    }
    Ok(request)
}

fn call(
    file: BorrowedFd<'_>,
    request: libc::c_ulong,
    argument: *mut libc::c_void,
) -> Result<(), Errno> {
    // SAFETY: the file is open for the whole call; all requests that come here take a pointer to an `ifreq`, which
    // the caller owns for the whole call, and the kernel keeps no pointer afterwards.
    let result = unsafe { libc::ioctl(file.as_raw_fd(), request as libc::Ioctl, argument) };
    answer(result)
}

fn call_value(
    file: BorrowedFd<'_>,
    request: libc::c_ulong,
    value: libc::c_ulong,
) -> Result<(), Errno> {
    // SAFETY: the file is open for the whole call; TUNSETOFFLOAD takes its argument by value.
    let result = unsafe { libc::ioctl(file.as_raw_fd(), request as libc::Ioctl, value) };
    answer(result)
}

fn answer(result: libc::c_int) -> Result<(), Errno> {
    if result < 0 {
        let error = std::io::Error::last_os_error();
        return Err(Errno::from_io_error(&error).unwrap_or(Errno::IO));
    }
    Ok(())
}
