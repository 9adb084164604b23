//! Sends messages by the batch; datagrams of one size to one destination go as one train (`UDP_SEGMENT`).
//!
//! Owner: nobody. In: a socket, bytes, where they go. Out: how many went, or why the first did not.
//! Never: a pointer that outlives its call.
#![allow(unsafe_code)]

use std::net::SocketAddr;
use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::io::Errno;

use zt_engine::shard::WORKERS;
use zt_wire::datagram::{DatagramType, RECEIVER};

use super::address;

/// Bytes for one destination: one datagram, or several of `segment` bytes of which the last may be shorter.
#[derive(Clone, Copy, Debug)]
pub struct Train<'a> {
    /// Where it goes.
    pub to: SocketAddr,
    /// The datagrams, one after the other.
    pub bytes: &'a [u8],
    /// Bytes of each datagram; `None` for a single one.
    pub segment: Option<u16>,
}

/// Most trains of one call.
pub const TRAINS: usize = 32;
/// So few that room for more would cost time.
const FEW: usize = 2;

/// Sends the trains in their order; returns how many the kernel took.
///
/// # Errors
/// The kernel's reason when the first was not taken.
pub fn send(socket: BorrowedFd<'_>, trains: &[Train<'_>]) -> Result<usize, Errno> {
    // A lone datagram waits for every line of memory that is touched before it.
    if trains.len() <= FEW {
        send_up_to::<FEW>(socket, trains)
    } else {
        send_up_to::<TRAINS>(socket, trains)
    }
}

fn send_up_to<const MOST: usize>(
    socket: BorrowedFd<'_>,
    trains: &[Train<'_>],
) -> Result<usize, Errno> {
    let count = trains.len().min(MOST);
    let mut rooms = [address::empty(); MOST];
    let mut controls = [Control::EMPTY; MOST];
    // SAFETY: plain old data of the C library; zeroes are a value of each field.
    let mut parts: [libc::iovec; MOST] = unsafe { core::mem::zeroed() };
    // SAFETY: as above.
    let mut headers: [libc::mmsghdr; MOST] = unsafe { core::mem::zeroed() };
    for (index, train) in trains.iter().take(count).enumerate() {
        let header = &mut headers[index].msg_hdr;
        header.msg_namelen = address::put(&mut rooms[index], train.to);
        header.msg_name = (&raw mut rooms[index]).cast();
        parts[index].iov_base = train.bytes.as_ptr().cast_mut().cast();
        parts[index].iov_len = train.bytes.len();
        header.msg_iov = &raw mut parts[index];
        header.msg_iovlen = 1;
        if let Some(segment) = train.segment {
            controls[index] = Control::segment(segment);
            header.msg_control = (&raw mut controls[index]).cast();
            header.msg_controllen = size_of::<Control>() as _;
        }
    }
    // SAFETY: each of the `count` headers points into arrays and caller's bytes that live, unmoved, until the call
    // returns; the kernel only reads the bytes.
    let sent = unsafe {
        libc::sendmmsg(
            socket.as_raw_fd(),
            headers.as_mut_ptr(),
            // At most `MOST`.
            u32::try_from(count).unwrap_or(0),
            libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL,
        )
    };
    usize::try_from(sent).map_err(|_| {
        let error = std::io::Error::last_os_error();
        Errno::from_io_error(&error).unwrap_or(Errno::IO)
    })
}

/// Sets what sending needs: never fragment, never believe an ICMP about the path's MTU (the session measures it).
/// Returns whether the kernel knows trains.
pub fn prepare(socket: BorrowedFd<'_>, v6: bool) -> bool {
    if v6 {
        set_option(
            socket,
            libc::IPPROTO_IPV6,
            libc::IPV6_MTU_DISCOVER,
            libc::IPV6_PMTUDISC_PROBE,
        );
    } else {
        set_option(
            socket,
            libc::IPPROTO_IP,
            libc::IP_MTU_DISCOVER,
            libc::IP_PMTUDISC_PROBE,
        );
    }
    // Zero means "no trains unless a message says so"; a kernel without trains does not know the option.
    set_option(socket, libc::SOL_UDP, libc::UDP_SEGMENT, 0)
}

/// Widens the socket's buffers beyond the machine's limit, where that is allowed.
pub fn force_buffers(socket: BorrowedFd<'_>, receive: usize, send: usize) {
    for (option, size) in [
        (libc::SO_RCVBUFFORCE, receive),
        (libc::SO_SNDBUFFORCE, send),
    ] {
        if let Ok(size) = libc::c_int::try_from(size) {
            set_option(socket, libc::SOL_SOCKET, option, size);
        }
    }
}

/// Sets an option with an `int` value; returns whether the kernel took it.
pub fn set_option(
    socket: BorrowedFd<'_>,
    level: libc::c_int,
    option: libc::c_int,
    value: libc::c_int,
) -> bool {
    // SAFETY: the value lives until the call returns and its size is given.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            option,
            (&raw const value).cast(),
            INT_LEN,
        )
    };
    result == 0
}

/// Lets the group of sockets that share this one's address (`SO_REUSEPORT`) get each transport datagram at the socket
/// that its session index names, all others at the first. Returns whether the kernel took it.
pub fn steer(socket: BorrowedFd<'_>) -> bool {
    let one = |code: u32, k: u32| libc::sock_filter {
        // Codes are a byte wide.
        code: u16::try_from(code).unwrap_or(0),
        jt: 0,
        jf: 0,
        k,
    };
    let load_byte = libc::BPF_LD | libc::BPF_B | libc::BPF_ABS;
    let load_word = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
    // A load behind the datagram's end ends the program with 0, the first socket.
    let mut program = [
        one(load_byte, 0),
        libc::sock_filter {
            jf: 3,
            ..one(
                libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K,
                DatagramType::Transport as u32,
            )
        },
        one(load_word, RECEIVER_AT),
        one(libc::BPF_ALU | libc::BPF_AND | libc::BPF_K, OWNER_BITS),
        one(libc::BPF_RET | libc::BPF_A, 0),
        one(libc::BPF_RET | libc::BPF_K, 0),
    ];
    let program = libc::sock_fprog {
        // Six instructions.
        len: u16::try_from(program.len()).unwrap_or(0),
        filter: program.as_mut_ptr(),
    };
    let Ok(length) = libc::socklen_t::try_from(size_of_val(&program)) else {
        return false;
    };
    // SAFETY: the program lives until the call returns, its length is given, and the kernel copies it.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ATTACH_REUSEPORT_CBPF,
            (&raw const program).cast(),
            length,
        )
    };
    result == 0
}

/// Where the session index stands, as BPF counts.
const RECEIVER_AT: u32 = 4;
const _: () = assert!(RECEIVER.start == RECEIVER_AT as usize);
/// The bits of the index that name its worker.
const OWNER_BITS: u32 = 15;
const _: () = assert!(OWNER_BITS as usize == WORKERS - 1);

/// Datagrams that the kernel has dropped at this socket, because nobody read them in time; wraps. `None` where it does not tell.
pub fn dropped(socket: BorrowedFd<'_>) -> Option<u32> {
    let mut figures = [0_u32; MEMINFO_DROPS + 1];
    let mut length = libc::socklen_t::try_from(size_of_val(&figures)).ok()?;
    // SAFETY: the kernel writes at most `length` bytes into the figures, which live until the call returns, and says how many.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            SO_MEMINFO,
            figures.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    let whole = usize::try_from(length) == Ok(size_of_val(&figures));
    (result == 0 && whole).then_some(figures[MEMINFO_DROPS])
}

/// Linux's number of the option; the C library's crate does not have it.
const SO_MEMINFO: libc::c_int = 55;
/// Where `SO_MEMINFO` has the drops (`SK_MEMINFO_DROPS`).
const MEMINFO_DROPS: usize = 8;
/// Bytes of an option's value.
const INT_LEN: libc::socklen_t = 4;
const _: () = assert!(size_of::<libc::c_int>() == 4);

/// One control message with a `u16`, as `CMSG_SPACE(2)` lays it out.
#[repr(C)]
#[derive(Clone, Copy)]
struct Control {
    header: libc::cmsghdr,
    value: [u8; size_of::<usize>()],
}

impl Control {
    // SAFETY: plain old data of the C library; zeroes are a value of each field.
    const EMPTY: Self = unsafe { core::mem::zeroed() };

    fn segment(size: u16) -> Self {
        let mut control = Self::EMPTY;
        control.header.cmsg_level = libc::SOL_UDP;
        control.header.cmsg_type = libc::UDP_SEGMENT;
        control.header.cmsg_len = (size_of::<libc::cmsghdr>() + size_of::<u16>()) as _;
        control.value[..2].copy_from_slice(&size.to_ne_bytes());
        control
    }
}
