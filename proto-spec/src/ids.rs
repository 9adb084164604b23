//! The names of the overlay: addresses, networks, keys and MACs.
//!
//! Owner: nobody; plain values. In: bytes or text. Out: checked newtypes that print as people write them.
//! Never: a key, a hash computed, a clock. Only `Mac::of` and `NetworkId::controller` turn one name into another.

use core::fmt;
use core::net::Ipv6Addr;
use core::num::NonZeroU64;
use core::str::FromStr;

/// A node's address on the overlay: 40 bits, written as ten hex digits.
///
/// Derived from the proof of work over the node's public keys (SPEC §2.3), so it cannot be chosen.
/// Zero and `ff________` are reserved and have no `Address`. It is a name, never an authenticator.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address(NonZeroU64);

impl Address {
    /// Bytes an address takes on the wire.
    pub const LEN: usize = 5;

    /// Reads an address from the wire, big-endian.
    ///
    /// # Errors
    /// [`BadName::Reserved`] for zero and for a leading `ff`.
    pub const fn from_bytes(bytes: [u8; Self::LEN]) -> Result<Self, BadName> {
        let [a, b, c, d, e] = bytes;
        let value = u64::from_be_bytes([0, 0, 0, a, b, c, d, e]);
        match NonZeroU64::new(value) {
            Some(value) if a != 0xff => Ok(Self(value)),
            _ => Err(BadName::Reserved),
        }
    }

    /// The five bytes of the wire, big-endian.
    pub const fn to_bytes(self) -> [u8; Self::LEN] {
        let [_, _, _, a, b, c, d, e] = self.0.get().to_be_bytes();
        [a, b, c, d, e]
    }
}

/// A network's id: the controller's address and a 24-bit number, written as sixteen hex digits (SPEC §2.5).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NetworkId(u64);

impl NetworkId {
    /// Bytes a network id takes on the wire.
    pub const LEN: usize = 8;

    /// The network `number` (24 bits; higher bits are refused) of `controller`.
    ///
    /// # Errors
    /// [`BadName::Reserved`] for a number of more than 24 bits.
    pub const fn new(controller: Address, number: u32) -> Result<Self, BadName> {
        if number > 0x00ff_ffff {
            return Err(BadName::Reserved);
        }
        Ok(Self((controller.0.get() << 24) | number as u64))
    }

    /// Reads a network id from the wire, big-endian.
    ///
    /// # Errors
    /// [`BadName::Reserved`] where the controller's part is no address.
    pub const fn from_bytes(bytes: [u8; Self::LEN]) -> Result<Self, BadName> {
        let [a, b, c, d, e, ..] = bytes;
        match Address::from_bytes([a, b, c, d, e]) {
            Ok(_) => Ok(Self(u64::from_be_bytes(bytes))),
            Err(bad) => Err(bad),
        }
    }

    /// The eight bytes of the wire, big-endian.
    pub const fn to_bytes(self) -> [u8; Self::LEN] {
        self.0.to_be_bytes()
    }

    /// The address of the network's controller.
    ///
    /// # Panics
    /// Never: every constructor has checked the controller's part.
    pub const fn controller(self) -> Address {
        let [a, b, c, d, e, ..] = self.0.to_be_bytes();
        match Address::from_bytes([a, b, c, d, e]) {
            Ok(address) => address,
            Err(_) => unreachable!(),
        }
    }

    /// The network's number at its controller, 24 bits.
    pub const fn number(self) -> u32 {
        (self.0 & 0x00ff_ffff) as u32
    }
}

impl NetworkId {
    /// The IPv6 address of `member` on this network (SPEC §2.7, RFC 4193): `fd`, network id, `9993`, address.
    pub const fn ipv6_of(self, member: Address) -> Ipv6Addr {
        let [a, b, c, d, e, g, h, i] = self.to_bytes();
        let [v, w, x, y, z] = member.to_bytes();
        let bytes = [0xfd, a, b, c, d, e, g, h, i, 0x99, 0x93, v, w, x, y, z];
        Ipv6Addr::from_octets(bytes)
    }

    /// The member whose address on this network `ip` is; the inverse of [`NetworkId::ipv6_of`].
    pub fn member_of_ipv6(self, ip: Ipv6Addr) -> Option<Address> {
        let bytes = ip.octets();
        let (prefix, member) = bytes.split_last_chunk()?;
        let address = Address::from_bytes(*member).ok()?;
        let same = self.ipv6_of(address).octets()[..11] == *prefix;
        same.then_some(address)
    }
}

/// A key's fingerprint: BLAKE2b-256 over a node's public identity (SPEC §2.2), written as 64 hex digits.
///
/// Sessions, pins, certificates, registry records and revocations name nodes by it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId([u8; Self::LEN]);

impl KeyId {
    /// Bytes a key id takes on the wire.
    pub const LEN: usize = 32;

    /// A key id as computed by `zt-crypto` or read from the wire.
    pub const fn from_bytes(bytes: [u8; Self::LEN]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes of the wire.
    pub const fn to_bytes(self) -> [u8; Self::LEN] {
        self.0
    }
}

/// An Ethernet MAC address, written `02:00:5e:00:53:01`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mac([u8; Self::LEN]);

impl Mac {
    /// Bytes a MAC takes in a frame.
    pub const LEN: usize = 6;
    /// `ff:ff:ff:ff:ff:ff`.
    pub const BROADCAST: Self = Self([0xff; 6]);

    /// A MAC as it stands in a frame.
    pub const fn from_bytes(bytes: [u8; Self::LEN]) -> Self {
        Self(bytes)
    }

    /// The six bytes of a frame.
    pub const fn to_bytes(self) -> [u8; Self::LEN] {
        self.0
    }

    /// The MAC of `address` on `network` (SPEC §2.6): a locally administered unicast first byte from the
    /// network, then the address, each of its bytes mixed with one of the network's, so that both ways need no look-up.
    pub const fn of(address: Address, network: NetworkId) -> Self {
        let n = network.to_bytes();
        let a = address.to_bytes();
        let first = Self::first_byte(network);
        Self([
            first,
            a[0] ^ n[7],
            a[1] ^ n[6],
            a[2] ^ n[5],
            a[3] ^ n[4],
            a[4] ^ n[3],
        ])
    }

    /// The address whose MAC on `network` this is; the inverse of [`Mac::of`]. `None` for any other MAC.
    pub const fn address_on(self, network: NetworkId) -> Option<Address> {
        if self.0[0] != Self::first_byte(network) {
            return None;
        }
        let n = network.to_bytes();
        let m = self.0;
        let bytes = [
            m[1] ^ n[7],
            m[2] ^ n[6],
            m[3] ^ n[5],
            m[4] ^ n[4],
            m[5] ^ n[3],
        ];
        match Address::from_bytes(bytes) {
            Ok(address) => Some(address),
            Err(_) => None,
        }
    }

    /// Whether this is a group address (broadcast or multicast): the lowest bit of the first byte.
    pub const fn is_group(self) -> bool {
        self.0[0] & 1 == 1
    }

    const fn first_byte(network: NetworkId) -> u8 {
        // 0x52:54:00 is QEMU's prefix; a clash there would confuse people who look at bridges.
        let byte = (network.to_bytes()[7] & 0xfc) | 0x02;
        if byte == 0x52 { 0x32 } else { byte }
    }
}

/// Why a text or some bytes are no name of the overlay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadName {
    /// Not as many characters as the name has.
    Length {
        /// Characters that the name has.
        expected: usize,
        /// Characters that were there.
        found: usize,
    },
    /// A character outside `0-9a-fA-F` (or `:` between the bytes of a MAC).
    NotHex,
    /// Zero, or in the range kept for the future.
    Reserved,
}

impl fmt::Display for BadName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length { expected, found } => {
                write!(f, "expected {expected} characters, found {found}")
            }
            Self::NotHex => f.write_str("expected only the digits 0-9 and a-f"),
            Self::Reserved => f.write_str("this value is reserved"),
        }
    }
}

impl core::error::Error for BadName {}

pub(crate) fn hex<const N: usize>(text: &str) -> Result<[u8; N], BadName> {
    let found = text.chars().count();
    if found != 2 * N {
        return Err(BadName::Length {
            expected: 2 * N,
            found,
        });
    }
    let digits = text.as_bytes();
    if digits.len() != 2 * N {
        return Err(BadName::NotHex);
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = (digit(pair[0])? << 4) | digit(pair[1])?;
    }
    Ok(bytes)
}

const fn digit(character: u8) -> Result<u8, BadName> {
    match character {
        b'0'..=b'9' => Ok(character - b'0'),
        b'a'..=b'f' => Ok(character - b'a' + 10),
        b'A'..=b'F' => Ok(character - b'A' + 10),
        _ => Err(BadName::NotHex),
    }
}

pub(crate) fn write_hex(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

macro_rules! hex_name {
    ($name:ident, $len:expr, $from:expr) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write_hex(&self.to_bytes(), f)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
        impl FromStr for $name {
            type Err = BadName;
            fn from_str(text: &str) -> Result<Self, BadName> {
                let bytes: [u8; $len] = hex(text)?;
                $from(bytes)
            }
        }
    };
}

hex_name!(Address, 5, Address::from_bytes);
hex_name!(NetworkId, 8, NetworkId::from_bytes);
hex_name!(KeyId, 32, |bytes| Ok(KeyId::from_bytes(bytes)));

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Mac {
    type Err = BadName;
    fn from_str(text: &str) -> Result<Self, BadName> {
        let found = text.chars().count();
        if found != 17 || text.len() != 17 {
            return Err(BadName::Length {
                expected: 17,
                found,
            });
        }
        let mut bytes = [0; 6];
        for (index, part) in text.as_bytes().chunks(3).enumerate() {
            if index < 5 && part[2] != b':' {
                return Err(BadName::NotHex);
            }
            bytes[index] = (digit(part[0])? << 4) | digit(part[1])?;
        }
        Ok(Self(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plus_sign_is_not_a_digit() {
        // `u64::from_str_radix` alone would take it.
        assert_eq!("+000000001".parse::<Address>(), Err(BadName::NotHex));
    }

    #[test]
    fn reserved_addresses_do_not_exist() {
        assert_eq!("0000000000".parse::<Address>(), Err(BadName::Reserved));
        assert_eq!("ff00000001".parse::<Address>(), Err(BadName::Reserved));
    }

    #[test]
    fn a_mac_leads_back_to_its_address() {
        let address: Address = "89abcdef01".parse().unwrap();
        for number in [0, 1, 0x52, 0x00ff_ffff] {
            let network = NetworkId::new("0123456789".parse().unwrap(), number).unwrap();
            let mac = Mac::of(address, network);
            assert_eq!(mac.to_bytes()[0] & 3, 2, "locally administered unicast");
            assert_eq!(mac.address_on(network), Some(address));
            assert_eq!(mac.to_string().parse(), Ok(mac));
            let ip = network.ipv6_of(address);
            assert_eq!(network.member_of_ipv6(ip), Some(address));
            assert!(ip.to_string().starts_with("fd01:"));
        }
    }
}
