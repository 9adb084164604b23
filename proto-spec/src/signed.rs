//! Signed records: a canonical body, then 64 bytes of Ed25519 (SPEC §1.5).
//!
//! Owner: nobody; views. In: bytes. Out: body and signature apart, and the exact bytes that the signature covers.
//! Never: a verification; `zt-crypto` turns a `Signed` into a proof.

use crate::cursor::Put;
use crate::error::Malformed;

/// Bytes of a signature.
pub const SIGNATURE_LEN: usize = 64;

/// A record as it was signed, not yet verified: body, then signature, nothing else.
///
/// The body is kept as bytes, so that what is verified is what was received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signed<'a> {
    /// The canonical encoding of the record.
    pub body: &'a [u8],
    /// The signature over [`signing_input`].
    pub signature: &'a [u8; SIGNATURE_LEN],
}

impl<'a> Signed<'a> {
    /// Splits body and signature; what the body says is left to [`Record::decode`].
    ///
    /// # Errors
    /// [`Malformed::Short`] without a body.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        match bytes.split_last_chunk() {
            Some((body, signature)) if !body.is_empty() => Ok(Self { body, signature }),
            _ => Err(Malformed::Short),
        }
    }

    /// Writes body and signature.
    pub fn write(&self, out: &mut impl Put) {
        out.put(self.body);
        out.put(self.signature);
    }

    /// Body and signature in a new `Vec`.
    pub fn to_vec(&self) -> Vec<u8> {
        [self.body, self.signature].concat()
    }

    /// Reads the body, without any trust in it.
    ///
    /// # Errors
    /// The rule that the body breaks.
    pub fn decode<R: Record>(&self) -> Result<R, Malformed> {
        R::decode(self.body)
    }
}

/// A record that is signed. Its encoding is canonical: one meaning, one body.
pub trait Record: Sized {
    /// Separates what is signed here from everything else that is ever signed.
    const DOMAIN: &'static str;

    /// Reads a body, exactly.
    ///
    /// # Errors
    /// The rule of the specification that it breaks.
    fn decode(body: &[u8]) -> Result<Self, Malformed>;

    /// The body.
    fn encode(&self) -> Vec<u8>;
}

/// What an Ed25519 signature of the project covers: domain, a zero byte, body.
pub fn signing_input(domain: &str, body: &[u8]) -> Vec<u8> {
    [domain.as_bytes(), &[0], body].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_alone_is_no_record() {
        assert_eq!(Signed::parse(&[0; 64]), Err(Malformed::Short));
        let signed = [1; 65];
        assert_eq!(
            Signed::parse(&signed).map(|signed| signed.to_vec()),
            Ok(signed.to_vec())
        );
    }
}
