//! The four datagrams of the wire: INIT, COOKIE, RESPONSE and TRANSPORT (SPEC §4).
//!
//! Owner: nobody; views of the caller's bytes. In: a UDP payload. Out: header fields and where the rest stands.
//! Never: trust. What a view says is what an unknown sender wrote.

use crate::error::Malformed;

/// The protocol's version, second byte of every datagram.
pub const VERSION: u8 = 1;
/// Where the receiver's session index stands in every datagram.
pub const RECEIVER: core::ops::Range<usize> = 4..8;
/// Bytes of every INIT.
pub const INIT_LEN: usize = 1200;
/// Bytes before the part in an INIT.
pub const INIT_HEADER: usize = 60;
/// Bytes of Noise message 1, without its ephemeral key, in each of the two INIT.
pub const INIT_PART: usize = INIT_LEN - INIT_HEADER;
/// Bytes of a COOKIE.
pub const COOKIE_LEN: usize = 40;
/// Bytes before Noise message 2 in a RESPONSE.
pub const RESPONSE_HEADER: usize = 12;
/// Most bytes of a RESPONSE: never more than what caused it.
pub const RESPONSE_MAX: usize = INIT_LEN;
/// Bytes before the ciphertext of a TRANSPORT.
pub const TRANSPORT_HEADER: usize = 16;
/// Bytes of the tag at the end of a TRANSPORT.
pub const TAG_LEN: usize = 16;
/// What a TRANSPORT adds to its body.
pub const TRANSPORT_OVERHEAD: usize = TRANSPORT_HEADER + TAG_LEN;
/// The smallest path: UDP payload bytes that every path is taken to carry.
pub const PATH_FLOOR: usize = 1200;
/// Largest datagram that is looked at.
pub const DATAGRAM_MAX: usize = 65_507;

const _: () = assert!(INIT_PART == 1140);
const _: () = assert!(TRANSPORT_OVERHEAD == 32);

/// First byte of a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum DatagramType {
    /// Half of the first handshake message.
    Init = 1,
    /// Answer to an INIT without a valid cookie.
    Cookie = 2,
    /// The second handshake message.
    Response = 3,
    /// Sealed in a session.
    Transport = 4,
}

impl DatagramType {
    /// Looks at type and version only.
    ///
    /// # Errors
    /// [`Malformed::Short`], [`Malformed::Version`], [`Malformed::Type`].
    pub const fn of(bytes: &[u8]) -> Result<Self, Malformed> {
        let [kind, version, ..] = bytes else {
            return Err(Malformed::Short);
        };
        if *version != VERSION {
            return Err(Malformed::Version(*version));
        }
        match *kind {
            1 => Ok(Self::Init),
            2 => Ok(Self::Cookie),
            3 => Ok(Self::Response),
            4 => Ok(Self::Transport),
            other => Err(Malformed::Type(other)),
        }
    }
}

/// The receiver's session index, the key that steers a datagram to a worker; `None` for less than 8 bytes.
pub fn receiver_index(bytes: &[u8]) -> Option<u32> {
    let field = bytes.get(RECEIVER)?.first_chunk()?;
    Some(u32::from_be_bytes(*field))
}

/// Any datagram, by its type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Datagram<'a> {
    /// See [`Init`].
    Init(Init<'a>),
    /// See [`Cookie`].
    Cookie(Cookie),
    /// See [`Response`].
    Response(Response<'a>),
    /// See [`Transport`].
    Transport(Transport),
}

impl<'a> Datagram<'a> {
    /// Reads the header.
    ///
    /// # Errors
    /// The rule of SPEC §4 that the bytes break.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        match DatagramType::of(bytes)? {
            DatagramType::Init => Init::parse(bytes).map(Self::Init),
            DatagramType::Cookie => Cookie::parse(bytes).map(Self::Cookie),
            DatagramType::Response => Response::parse(bytes).map(Self::Response),
            DatagramType::Transport => Transport::parse(bytes).map(Self::Transport),
        }
    }
}

/// Half of the first handshake message; exactly [`INIT_LEN`] bytes, so that no answer is larger (SPEC §4.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Init<'a> {
    /// Which half: 0 or 1.
    pub part: u8,
    /// The index that the initiator wants to be answered at.
    pub sender: u32,
    /// The responder's cookie; zero when there is none yet.
    pub cookie: [u8; 16],
    /// The initiator's ephemeral key, the same in both halves.
    pub ephemeral: &'a [u8; 32],
    /// The half itself.
    pub bytes: &'a [u8; INIT_PART],
}

impl<'a> Init<'a> {
    /// Reads an INIT.
    ///
    /// # Errors
    /// [`Malformed::Length`] for any other length; [`Malformed::Index`] for a third part; [`Malformed::Reserved`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let bytes: &[u8; INIT_LEN] = bytes.try_into().map_err(|_| Malformed::Length)?;
        let mut reader = head(bytes, DatagramType::Init)?;
        let part = reader.u8()?;
        if part > 1 {
            return Err(Malformed::Index);
        }
        if reader.u8()? != 0 || reader.u32()? != 0 {
            return Err(Malformed::Reserved);
        }
        Ok(Self {
            part,
            sender: reader.u32()?,
            cookie: reader.array()?,
            ephemeral: reader.array_ref()?,
            bytes: reader.array_ref()?,
        })
    }

    /// Writes the whole datagram.
    pub fn write(&self, out: &mut [u8; INIT_LEN]) {
        out[..8].copy_from_slice(&[DatagramType::Init as u8, VERSION, self.part, 0, 0, 0, 0, 0]);
        out[8..12].copy_from_slice(&self.sender.to_be_bytes());
        out[12..28].copy_from_slice(&self.cookie);
        out[28..INIT_HEADER].copy_from_slice(self.ephemeral);
        out[INIT_HEADER..].copy_from_slice(self.bytes);
    }
}

/// "Say it again with this": proves that the initiator receives at its source (SPEC §4.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cookie {
    /// The initiator's index.
    pub receiver: u32,
    /// The first 16 bytes of the initiator's ephemeral key.
    pub echo: [u8; 16],
    /// To be sent in both INIT.
    pub cookie: [u8; 16],
}

impl Cookie {
    /// Reads a COOKIE.
    ///
    /// # Errors
    /// [`Malformed::Length`] for any other length; [`Malformed::Reserved`].
    pub fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        let bytes: &[u8; COOKIE_LEN] = bytes.try_into().map_err(|_| Malformed::Length)?;
        let mut reader = head(bytes, DatagramType::Cookie)?;
        if reader.u16()? != 0 {
            return Err(Malformed::Reserved);
        }
        Ok(Self {
            receiver: reader.u32()?,
            echo: reader.array()?,
            cookie: reader.array()?,
        })
    }

    /// The whole datagram.
    pub fn to_bytes(&self) -> [u8; COOKIE_LEN] {
        let mut out = [0; COOKIE_LEN];
        out[..2].copy_from_slice(&[DatagramType::Cookie as u8, VERSION]);
        out[RECEIVER].copy_from_slice(&self.receiver.to_be_bytes());
        out[8..24].copy_from_slice(&self.echo);
        out[24..].copy_from_slice(&self.cookie);
        out
    }
}

/// The second handshake message (SPEC §4.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Response<'a> {
    /// The initiator's index.
    pub receiver: u32,
    /// The responder's index.
    pub sender: u32,
    /// Noise message 2.
    pub message: &'a [u8],
}

impl<'a> Response<'a> {
    /// Reads a RESPONSE.
    ///
    /// # Errors
    /// [`Malformed::Length`] above [`RESPONSE_MAX`] or without a message; [`Malformed::Reserved`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        if bytes.len() <= RESPONSE_HEADER || bytes.len() > RESPONSE_MAX {
            return Err(Malformed::Length);
        }
        let mut reader = head(bytes, DatagramType::Response)?;
        if reader.u16()? != 0 {
            return Err(Malformed::Reserved);
        }
        Ok(Self {
            receiver: reader.u32()?,
            sender: reader.u32()?,
            message: reader.take_rest(),
        })
    }

    /// Adds the whole datagram to `out`.
    pub fn write(&self, out: &mut impl crate::cursor::Put) {
        out.put(&[DatagramType::Response as u8, VERSION, 0, 0]);
        out.u32(self.receiver);
        out.u32(self.sender);
        out.put(self.message);
    }
}

/// The header of a sealed datagram; ciphertext and tag stand from [`TRANSPORT_HEADER`] to the end (SPEC §5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transport {
    /// The index that selects the receiver's key.
    pub receiver: u32,
    /// The nonce.
    pub counter: u64,
}

impl Transport {
    /// Reads the header; the caller opens `bytes[TRANSPORT_HEADER..]` in place.
    ///
    /// # Errors
    /// [`Malformed::Short`] when header and tag do not fit; [`Malformed::Reserved`].
    pub fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        if bytes.len() < TRANSPORT_OVERHEAD {
            return Err(Malformed::Short);
        }
        let mut reader = head(bytes, DatagramType::Transport)?;
        if reader.u16()? != 0 {
            return Err(Malformed::Reserved);
        }
        Ok(Self {
            receiver: reader.u32()?,
            counter: reader.u64()?,
        })
    }

    /// The 16 bytes of the header.
    pub fn to_bytes(&self) -> [u8; TRANSPORT_HEADER] {
        let mut out = [0; TRANSPORT_HEADER];
        out[..2].copy_from_slice(&[DatagramType::Transport as u8, VERSION]);
        out[RECEIVER].copy_from_slice(&self.receiver.to_be_bytes());
        out[8..].copy_from_slice(&self.counter.to_be_bytes());
        out
    }
}

/// Checks type and version, and reads on behind them.
fn head(bytes: &[u8], expected: DatagramType) -> Result<crate::cursor::Reader<'_>, Malformed> {
    let found = DatagramType::of(bytes)?;
    if found != expected {
        return Err(Malformed::Type(found as u8));
    }
    let mut reader = crate::cursor::Reader::new(bytes);
    reader.u16()?;
    Ok(reader)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_init_survives_and_its_index_is_zero() {
        let init = Init {
            part: 1,
            sender: 0x0102_0304,
            cookie: [5; 16],
            ephemeral: &[6; 32],
            bytes: &[7; INIT_PART],
        };
        let mut out = [0xff; INIT_LEN];
        init.write(&mut out);
        assert_eq!(receiver_index(&out), Some(0));
        assert_eq!(Datagram::parse(&out), Ok(Datagram::Init(init)));
        assert_eq!(
            Datagram::parse(&out[..INIT_LEN - 1]),
            Err(Malformed::Length)
        );
        out[2] = 2;
        assert_eq!(Datagram::parse(&out), Err(Malformed::Index));
    }

    #[test]
    fn a_cookie_has_one_length() {
        let cookie = Cookie {
            receiver: 9,
            echo: [1; 16],
            cookie: [2; 16],
        };
        let bytes = cookie.to_bytes();
        assert_eq!(Datagram::parse(&bytes), Ok(Datagram::Cookie(cookie)));
        assert_eq!(receiver_index(&bytes), Some(9));
        let mut longer = bytes.to_vec();
        longer.push(0);
        assert_eq!(Datagram::parse(&longer), Err(Malformed::Length));
    }

    #[test]
    fn a_response_is_never_larger_than_an_init() {
        let mut bytes = Vec::new();
        Response {
            receiver: 1,
            sender: 2,
            message: &[3; 100],
        }
        .write(&mut bytes);
        assert!(matches!(Datagram::parse(&bytes), Ok(Datagram::Response(r)) if r.sender == 2));
        bytes.resize(RESPONSE_MAX + 1, 0);
        assert_eq!(Datagram::parse(&bytes), Err(Malformed::Length));
    }

    #[test]
    fn an_empty_body_is_a_transport_one_byte_less_is_not() {
        let header = Transport {
            receiver: 7,
            counter: 1 << 40,
        };
        let mut bytes = [0; TRANSPORT_OVERHEAD];
        bytes[..TRANSPORT_HEADER].copy_from_slice(&header.to_bytes());
        assert_eq!(Datagram::parse(&bytes), Ok(Datagram::Transport(header)));
        assert_eq!(Datagram::parse(&bytes[..31]), Err(Malformed::Short));
        bytes[1] = 2;
        assert_eq!(Datagram::parse(&bytes), Err(Malformed::Version(2)));
        bytes[1] = 1;
        bytes[3] = 1;
        assert_eq!(Datagram::parse(&bytes), Err(Malformed::Reserved));
    }
}
