//! Socket addresses as the kernel has them.
//!
//! Owner: nobody. In: `SocketAddr`, `sockaddr_storage`. Out: the other one.
//! Never: an address family the kernel did not say.
#![allow(unsafe_code)]

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

/// Room for an address of either family.
#[repr(C)]
#[derive(Clone, Copy)]
pub union Room {
    family: libc::sa_family_t,
    v4: libc::sockaddr_in,
    v6: libc::sockaddr_in6,
}

/// Bytes of [`Room`] as the kernel counts them.
pub const ROOM: u32 = 28;
const _: () = assert!(
    size_of::<Room>() == ROOM as usize,
    "sockaddr_in6 is the larger one"
);

/// All zeroes: no family.
pub const fn empty() -> Room {
    // SAFETY: each field is plain old data for which zeroes are a value.
    unsafe { core::mem::zeroed() }
}

/// Writes an address; returns the bytes the kernel is to read.
pub fn put(room: &mut Room, address: SocketAddr) -> u32 {
    *room = empty();
    match address {
        SocketAddr::V4(address) => {
            room.v4 = libc::sockaddr_in {
                sin_family: AF_INET,
                sin_port: address.port().to_be(),
                sin_addr: libc::in_addr {
                    s_addr: u32::from_ne_bytes(address.ip().octets()),
                },
                sin_zero: [0; 8],
            };
            16
        }
        SocketAddr::V6(address) => {
            room.v6 = libc::sockaddr_in6 {
                sin6_family: AF_INET6,
                sin6_port: address.port().to_be(),
                sin6_flowinfo: 0,
                sin6_addr: libc::in6_addr {
                    s6_addr: address.ip().octets(),
                },
                sin6_scope_id: address.scope_id(),
            };
            ROOM
        }
    }
}

/// Reads an address that the kernel wrote; `None` for another family.
pub fn get(room: &Room) -> Option<SocketAddr> {
    // SAFETY: the room was zeroed or written by the kernel, so every byte is initialised; the family says which
    // field holds, and any bytes are valid for each of them.
    unsafe {
        if room.family == AF_INET {
            let ip = Ipv4Addr::from(room.v4.sin_addr.s_addr.to_ne_bytes());
            Some(SocketAddrV4::new(ip, u16::from_be(room.v4.sin_port)).into())
        } else if room.family == AF_INET6 {
            let ip = Ipv6Addr::from(room.v6.sin6_addr.s6_addr);
            let port = u16::from_be(room.v6.sin6_port);
            Some(SocketAddrV6::new(ip, port, 0, room.v6.sin6_scope_id).into())
        } else {
            None
        }
    }
}

/// `AF_INET` as it stands in an address.
const AF_INET: libc::sa_family_t = 2;
/// `AF_INET6` as it stands in an address.
const AF_INET6: libc::sa_family_t = 10;
const _: () = assert!(AF_INET as i32 == libc::AF_INET && AF_INET6 as i32 == libc::AF_INET6);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_survive_the_way_to_the_kernel_and_back() {
        let mut room = empty();
        assert_eq!(get(&room), None);
        for text in ["192.0.2.7:9993", "[2001:db8::7]:65535", "[fe80::1%3]:1"] {
            let address = text.parse().unwrap();
            put(&mut room, address);
            assert_eq!(get(&room), Some(address));
        }
    }
}
