//! Where a node may be reached, and prefixes of IP addresses.
//!
//! Owner: nobody; plain values. In: bytes. Out: socket addresses with how they were learned.
//! Never: a judgement whether one is worth trying.

use core::fmt;
use core::net::{IpAddr, SocketAddr};
use core::str::FromStr;

use crate::cursor::{Put, Reader};
use crate::error::Malformed;

/// How a node learned of an endpoint of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EndpointKind {
    /// An address of its own interfaces.
    Local,
    /// As a supernode or a peer sees it.
    Reflexive,
    /// A port mapping of its router.
    Mapped,
}

/// A candidate endpoint (SPEC §7.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Endpoint {
    /// How it was learned.
    pub kind: EndpointKind,
    /// Where it is.
    pub socket: SocketAddr,
}

impl Endpoint {
    /// Reads kind, family, IP and port.
    ///
    /// # Errors
    /// [`Malformed::Code`] for an unknown kind; as [`Reader::socket`].
    pub fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let kind = match reader.u8()? {
            0 => EndpointKind::Local,
            1 => EndpointKind::Reflexive,
            2 => EndpointKind::Mapped,
            _ => return Err(Malformed::Code),
        };
        Ok(Self {
            kind,
            socket: reader.socket()?,
        })
    }

    /// Writes kind, family, IP and port.
    pub fn write(&self, out: &mut impl Put) {
        out.u8(match self.kind {
            EndpointKind::Local => 0,
            EndpointKind::Reflexive => 1,
            EndpointKind::Mapped => 2,
        });
        out.socket(self.socket);
    }
}

/// A list of endpoints: either as it stands in a message, or the caller's.
#[derive(Clone, Copy, Debug)]
pub struct Endpoints<'a>(List<'a>);

#[derive(Clone, Copy, Debug)]
enum List<'a> {
    /// Checked by [`Endpoints::read`].
    Wire(&'a [u8]),
    Ours(&'a [Endpoint]),
}

impl<'a> Endpoints<'a> {
    /// Most endpoints in one message.
    pub const MAX: usize = 32;

    /// A list to be written; what is past [`Endpoints::MAX`] is left out.
    pub fn of(endpoints: &'a [Endpoint]) -> Self {
        Self(List::Ours(&endpoints[..endpoints.len().min(Self::MAX)]))
    }

    /// Reads count and endpoints up to the end of `reader`, checking each.
    ///
    /// # Errors
    /// [`Malformed::Count`] above [`Endpoints::MAX`]; as [`Endpoint::read`].
    pub fn read(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        let count = reader.u8()?;
        if usize::from(count) > Self::MAX {
            return Err(Malformed::Count);
        }
        let start = reader.rest();
        for _ in 0..count {
            Endpoint::read(reader)?;
        }
        let len = start.len() - reader.rest().len();
        Ok(Self(List::Wire(&start[..len])))
    }

    /// Writes count and endpoints.
    pub fn write(&self, out: &mut impl Put) {
        // At most MAX by construction.
        out.u8(u8::try_from(self.iter().count()).unwrap_or(u8::MAX));
        for endpoint in *self {
            endpoint.write(out);
        }
    }

    /// One by one.
    pub const fn iter(&self) -> EndpointsIter<'a> {
        EndpointsIter(self.0)
    }
}

impl<'a> IntoIterator for Endpoints<'a> {
    type Item = Endpoint;
    type IntoIter = EndpointsIter<'a>;
    fn into_iter(self) -> EndpointsIter<'a> {
        self.iter()
    }
}

impl<'a> IntoIterator for &Endpoints<'a> {
    type Item = Endpoint;
    type IntoIter = EndpointsIter<'a>;
    fn into_iter(self) -> EndpointsIter<'a> {
        self.iter()
    }
}

impl PartialEq for Endpoints<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Endpoints<'_> {}

/// Iterator over [`Endpoints`].
#[derive(Clone, Debug)]
pub struct EndpointsIter<'a>(List<'a>);

impl Iterator for EndpointsIter<'_> {
    type Item = Endpoint;
    fn next(&mut self) -> Option<Endpoint> {
        match &mut self.0 {
            List::Wire(bytes) => {
                let mut reader = Reader::new(bytes);
                // Checked by `Endpoints::read`, so an error here is only the end.
                let endpoint = Endpoint::read(&mut reader).ok()?;
                *bytes = reader.rest();
                Some(endpoint)
            }
            List::Ours(endpoints) => {
                let (first, rest) = endpoints.split_first()?;
                *endpoints = rest;
                Some(*first)
            }
        }
    }
}

/// An IP address with a prefix length, written `10.0.0.7/24`. Host bits may be set: it also names an interface's address.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cidr {
    ip: IpAddr,
    prefix: u8,
}

impl Cidr {
    /// An address with a prefix length.
    ///
    /// # Errors
    /// [`Malformed::Prefix`] for more than 32 or 128.
    pub const fn new(ip: IpAddr, prefix: u8) -> Result<Self, Malformed> {
        let most = match ip {
            IpAddr::V4(_) => 32,
            IpAddr::V6(_) => 128,
        };
        if prefix <= most {
            Ok(Self { ip, prefix })
        } else {
            Err(Malformed::Prefix)
        }
    }

    /// Reads family, IP and prefix length.
    ///
    /// # Errors
    /// [`Malformed::Family`], [`Malformed::Prefix`].
    pub fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let ip = reader.ip()?;
        Self::new(ip, reader.u8()?)
    }

    /// Writes family, IP and prefix length.
    pub fn write(&self, out: &mut impl Put) {
        out.ip(self.ip);
        out.u8(self.prefix);
    }

    /// The address.
    pub const fn ip(&self) -> IpAddr {
        self.ip
    }

    /// The prefix length.
    pub const fn prefix(&self) -> u8 {
        self.prefix
    }

    /// The first address of the block: host bits cleared.
    pub const fn network(&self) -> IpAddr {
        match self.ip {
            IpAddr::V4(ip) => {
                let mask = u32::MAX.unbounded_shl(32 - self.prefix as u32);
                IpAddr::V4(core::net::Ipv4Addr::from_bits(ip.to_bits() & mask))
            }
            IpAddr::V6(ip) => {
                let mask = u128::MAX.unbounded_shl(128 - self.prefix as u32);
                IpAddr::V6(core::net::Ipv6Addr::from_bits(ip.to_bits() & mask))
            }
        }
    }

    /// Whether `ip` lies in this block.
    pub fn contains(&self, ip: IpAddr) -> bool {
        match Self::new(ip, self.prefix) {
            Ok(other) => ip.is_ipv4() == self.ip.is_ipv4() && other.network() == self.network(),
            Err(_) => false,
        }
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.ip, self.prefix)
    }
}

impl fmt::Debug for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Cidr {
    type Err = Malformed;
    /// `10.0.0.0/24`; both parts are needed.
    fn from_str(text: &str) -> Result<Self, Malformed> {
        let (ip, prefix) = text.split_once('/').ok_or(Malformed::Prefix)?;
        let ip = ip.parse().map_err(|_| Malformed::Text)?;
        if !prefix.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(Malformed::Prefix);
        }
        Self::new(ip, prefix.parse().map_err(|_| Malformed::Prefix)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_knows_its_own() {
        let block: Cidr = "10.1.2.3/16".parse().unwrap();
        assert_eq!(block.network().to_string(), "10.1.0.0");
        assert!(block.contains("10.1.255.255".parse().unwrap()));
        assert!(!block.contains("10.2.0.0".parse().unwrap()));
        assert!(!block.contains("fd00::1".parse().unwrap()));
        let all: Cidr = "0.0.0.0/0".parse().unwrap();
        assert!(all.contains("203.0.113.9".parse().unwrap()));
        assert!(!all.contains("::1".parse().unwrap()));
    }

    #[test]
    fn a_prefix_longer_than_the_address_is_refused() {
        assert_eq!("10.0.0.0/33".parse::<Cidr>(), Err(Malformed::Prefix));
        assert_eq!("fd00::/129".parse::<Cidr>(), Err(Malformed::Prefix));
        assert_eq!("10.0.0.0/+8".parse::<Cidr>(), Err(Malformed::Prefix));
    }

    #[test]
    fn a_list_of_endpoints_returns_as_it_left() {
        let ours = [
            Endpoint {
                kind: EndpointKind::Local,
                socket: "192.0.2.1:9993".parse().unwrap(),
            },
            Endpoint {
                kind: EndpointKind::Mapped,
                socket: "[2001:db8::1]:1".parse().unwrap(),
            },
        ];
        let mut bytes = Vec::new();
        Endpoints::of(&ours).write(&mut bytes);
        let mut reader = Reader::new(&bytes);
        let read = Endpoints::read(&mut reader).unwrap();
        assert_eq!(read, Endpoints::of(&ours));
        assert!(reader.is_empty());
    }

    #[test]
    fn port_zero_is_nowhere() {
        let mut reader = Reader::new(&[0, 4, 1, 2, 3, 4, 0, 0]);
        assert_eq!(Endpoint::read(&mut reader), Err(Malformed::Port));
    }
}
