//! Reading and writing field by field: big-endian, bounds checked, no copy and no allocation on the way in.
//!
//! Owner: the caller's bytes. In: a slice to read, a [`Put`] to write to. Out: fields, or [`Malformed`].
//! Never: an index that can panic.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::error::Malformed;
use crate::ids::{Address, KeyId, Mac, NetworkId};

/// Takes fields from the front of borrowed bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// A reader at the start of `bytes`.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// What has not been read.
    pub const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Whether everything has been read.
    pub const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next `len` bytes.
    ///
    /// # Errors
    /// [`Malformed::Short`] when fewer are left.
    pub fn take(&mut self, len: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.rest.split_at_checked(len).ok_or(Malformed::Short)?;
        self.rest = rest;
        Ok(taken)
    }

    /// Everything that is left.
    pub const fn take_rest(&mut self) -> &'a [u8] {
        let taken = self.rest;
        self.rest = &[];
        taken
    }

    /// The next `N` bytes by reference.
    ///
    /// # Errors
    /// [`Malformed::Short`] when fewer are left.
    pub fn array_ref<const N: usize>(&mut self) -> Result<&'a [u8; N], Malformed> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or(Malformed::Short)?;
        self.rest = rest;
        Ok(taken)
    }

    /// The next `N` bytes.
    ///
    /// # Errors
    /// [`Malformed::Short`] when fewer are left.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        self.array_ref().copied()
    }

    /// One byte.
    ///
    /// # Errors
    /// [`Malformed::Short`] at the end.
    pub fn u8(&mut self) -> Result<u8, Malformed> {
        self.array().map(|[byte]| byte)
    }

    /// Two bytes, big-endian.
    ///
    /// # Errors
    /// [`Malformed::Short`] at the end.
    pub fn u16(&mut self) -> Result<u16, Malformed> {
        self.array().map(u16::from_be_bytes)
    }

    /// Four bytes, big-endian.
    ///
    /// # Errors
    /// [`Malformed::Short`] at the end.
    pub fn u32(&mut self) -> Result<u32, Malformed> {
        self.array().map(u32::from_be_bytes)
    }

    /// Eight bytes, big-endian.
    ///
    /// # Errors
    /// [`Malformed::Short`] at the end.
    pub fn u64(&mut self) -> Result<u64, Malformed> {
        self.array().map(u64::from_be_bytes)
    }

    /// A byte of flags of which only those in `known` may be set.
    ///
    /// # Errors
    /// [`Malformed::Reserved`] for any other bit.
    pub fn flags(&mut self, known: u8) -> Result<u8, Malformed> {
        let flags = self.u8()?;
        if flags & !known == 0 {
            Ok(flags)
        } else {
            Err(Malformed::Reserved)
        }
    }

    /// A node's address.
    ///
    /// # Errors
    /// [`Malformed::Name`] for a reserved one.
    pub fn address(&mut self) -> Result<Address, Malformed> {
        Ok(Address::from_bytes(self.array()?)?)
    }

    /// A network's id.
    ///
    /// # Errors
    /// [`Malformed::Name`] for a reserved one.
    pub fn network(&mut self) -> Result<NetworkId, Malformed> {
        Ok(NetworkId::from_bytes(self.array()?)?)
    }

    /// A key's fingerprint.
    ///
    /// # Errors
    /// [`Malformed::Short`] at the end.
    pub fn key_id(&mut self) -> Result<KeyId, Malformed> {
        self.array().map(KeyId::from_bytes)
    }

    /// A MAC.
    ///
    /// # Errors
    /// [`Malformed::Short`] at the end.
    pub fn mac(&mut self) -> Result<Mac, Malformed> {
        self.array().map(Mac::from_bytes)
    }

    /// Family (4 or 6) and IP.
    ///
    /// # Errors
    /// [`Malformed::Family`] for any other family.
    pub fn ip(&mut self) -> Result<IpAddr, Malformed> {
        match self.u8()? {
            4 => Ok(IpAddr::V4(Ipv4Addr::from(self.array::<4>()?))),
            6 => Ok(IpAddr::V6(Ipv6Addr::from(self.array::<16>()?))),
            other => Err(Malformed::Family(other)),
        }
    }

    /// Family, IP and port.
    ///
    /// # Errors
    /// [`Malformed::Family`]; [`Malformed::Port`] for port zero.
    pub fn socket(&mut self) -> Result<SocketAddr, Malformed> {
        let ip = self.ip()?;
        match self.u16()? {
            0 => Err(Malformed::Port),
            port => Ok(SocketAddr::new(ip, port)),
        }
    }

    /// Family zero and nothing, or family, IP and port.
    ///
    /// # Errors
    /// As [`Reader::socket`].
    pub fn socket_or_none(&mut self) -> Result<Option<SocketAddr>, Malformed> {
        if self.rest.first() == Some(&0) {
            self.u8()?;
            return Ok(None);
        }
        self.socket().map(Some)
    }

    /// A text with one byte of length: UTF-8 without control characters.
    ///
    /// # Errors
    /// [`Malformed::Text`].
    pub fn text(&mut self) -> Result<&'a str, Malformed> {
        let len = self.u8()?;
        let bytes = self.take(usize::from(len))?;
        match core::str::from_utf8(bytes) {
            Ok(text) if !text.chars().any(char::is_control) => Ok(text),
            _ => Err(Malformed::Text),
        }
    }

    /// Says that the layout ends here.
    ///
    /// # Errors
    /// [`Malformed::Trailing`] when bytes are left.
    pub const fn end(self) -> Result<(), Malformed> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(Malformed::Trailing)
        }
    }
}

/// Something that bytes can be written to: a `Vec<u8>`, or a [`Slot`] of fixed size.
pub trait Put {
    /// Adds bytes at the end.
    fn put(&mut self, bytes: &[u8]);
    /// Bytes written so far.
    fn position(&self) -> usize;
    /// Overwrites two bytes that were written earlier at `at`.
    fn patch_u16(&mut self, at: usize, value: u16);

    /// Adds one byte.
    fn u8(&mut self, value: u8) {
        self.put(&[value]);
    }
    /// Adds two bytes, big-endian.
    fn u16(&mut self, value: u16) {
        self.put(&value.to_be_bytes());
    }
    /// Adds four bytes, big-endian.
    fn u32(&mut self, value: u32) {
        self.put(&value.to_be_bytes());
    }
    /// Adds eight bytes, big-endian.
    fn u64(&mut self, value: u64) {
        self.put(&value.to_be_bytes());
    }
    /// Adds family and IP.
    fn ip(&mut self, ip: IpAddr) {
        match ip {
            IpAddr::V4(ip) => {
                self.u8(4);
                self.put(&ip.octets());
            }
            IpAddr::V6(ip) => {
                self.u8(6);
                self.put(&ip.octets());
            }
        }
    }
    /// Adds family, IP and port.
    fn socket(&mut self, socket: SocketAddr) {
        self.ip(socket.ip());
        self.u16(socket.port());
    }
    /// Adds family zero, or family, IP and port.
    fn socket_or_none(&mut self, socket: Option<SocketAddr>) {
        match socket {
            Some(socket) => self.socket(socket),
            None => self.u8(0),
        }
    }
    /// Adds a text with one byte of length; what does not fit into 255 bytes is cut at a character.
    fn text(&mut self, text: &str) {
        let end = text.floor_char_boundary(255);
        let bytes = &text.as_bytes()[..end];
        // `floor_char_boundary(255)` is at most 255.
        self.u8(u8::try_from(bytes.len()).unwrap_or(u8::MAX));
        self.put(bytes);
    }
}

impl Put for Vec<u8> {
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
    fn position(&self) -> usize {
        self.len()
    }
    fn patch_u16(&mut self, at: usize, value: u16) {
        if let Some(place) = self.get_mut(at..at + 2) {
            place.copy_from_slice(&value.to_be_bytes());
        }
    }
}

/// Writes into bytes of fixed size. What does not fit is not written, and [`Slot::finish`] says so.
#[derive(Debug)]
pub struct Slot<'a> {
    bytes: &'a mut [u8],
    used: usize,
}

impl<'a> Slot<'a> {
    /// A writer at the start of `bytes`.
    pub const fn new(bytes: &'a mut [u8]) -> Self {
        Self { bytes, used: 0 }
    }

    /// The number of bytes written, or `None` when something did not fit.
    pub const fn finish(self) -> Option<usize> {
        if self.used <= self.bytes.len() {
            Some(self.used)
        } else {
            None
        }
    }
}

impl Put for Slot<'_> {
    fn put(&mut self, bytes: &[u8]) {
        let end = self.used.saturating_add(bytes.len());
        if let Some(place) = self.bytes.get_mut(self.used..end) {
            place.copy_from_slice(bytes);
        }
        self.used = end;
    }
    fn position(&self) -> usize {
        self.used
    }
    fn patch_u16(&mut self, at: usize, value: u16) {
        if let Some(place) = self.bytes.get_mut(at..at.saturating_add(2)) {
            place.copy_from_slice(&value.to_be_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_too_small_says_so_and_keeps_its_bounds() {
        let mut bytes = [0; 3];
        let mut slot = Slot::new(&mut bytes);
        slot.u16(0x0102);
        slot.u16(0x0304);
        assert_eq!(slot.finish(), None);
        assert_eq!(bytes, [1, 2, 0]);
    }

    #[test]
    fn a_long_text_is_cut_at_a_character() {
        let mut out = Vec::new();
        out.text(&"ä".repeat(200));
        assert_eq!(Reader::new(&out).text(), Ok("ä".repeat(127).as_str()));
    }

    #[test]
    fn a_text_with_a_newline_is_refused() {
        assert_eq!(Reader::new(b"\x02a\n").text(), Err(Malformed::Text));
    }
}
