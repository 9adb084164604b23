//! The world file: JSON that people read, whose signature covers the canonical binary body (SPEC §3.3).
//!
//! Owner: nobody. In: the file's text. Out: the signed bytes; and back.
//! Never: a verification, a file.

use core::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::error::Malformed;
use crate::identity::Identity;
use crate::ids::KeyId;
use crate::signed::{Record, SIGNATURE_LEN, Signed};
use crate::world::{ProofOfWork, World, WorldSupernode};

/// Why a text is no world file.
#[derive(Debug)]
pub enum BadWorldFile {
    /// Not JSON, or not these fields.
    Json(serde_json::Error),
    /// The fields break a rule of the binary body.
    Content(Malformed),
}

impl core::fmt::Display for BadWorldFile {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Json(bad) => write!(f, "no world file: {bad}"),
            Self::Content(bad) => write!(f, "the world breaks a rule: {bad}"),
        }
    }
}

impl core::error::Error for BadWorldFile {}

/// The text of a world file for these signed bytes (body and signature).
///
/// # Errors
/// The rule of SPEC §3 that the body breaks.
pub fn world_to_json(signed: &[u8]) -> Result<String, Malformed> {
    let signed = Signed::parse(signed)?;
    let world: World = signed.decode()?;
    let file = File {
        zt_world: 1,
        id: Hex(world.id),
        serial: world.serial,
        name: world.name,
        proof_of_work: Cost {
            memory_kib: world.proof_of_work.memory_kib,
            passes: world.proof_of_work.passes,
            bits: world.proof_of_work.bits,
            weak: world.proof_of_work.weak,
        },
        signing_key: KeyId::from_bytes(world.signing_key),
        next_key: KeyId::from_bytes(world.next_key),
        supernodes: world
            .supernodes
            .into_iter()
            .map(|supernode| Entry {
                identity: supernode.identity,
                endpoints: supernode.endpoints,
                tls_endpoints: supernode.tls_endpoints,
            })
            .collect(),
        signature: Hex(*signed.signature),
    };
    let mut text = serde_json::to_string_pretty(&file).unwrap_or_default();
    text.push('\n');
    Ok(text)
}

/// The signed bytes (body and signature) of a world file, still to be verified.
///
/// # Errors
/// [`BadWorldFile`].
pub fn world_from_json(text: &str) -> Result<Vec<u8>, BadWorldFile> {
    let file: File = serde_json::from_str(text).map_err(BadWorldFile::Json)?;
    if file.zt_world != 1 {
        return Err(BadWorldFile::Content(Malformed::Version(file.zt_world)));
    }
    let world = World {
        id: file.id.0,
        serial: file.serial,
        name: file.name,
        proof_of_work: ProofOfWork {
            memory_kib: file.proof_of_work.memory_kib,
            passes: file.proof_of_work.passes,
            bits: file.proof_of_work.bits,
            weak: file.proof_of_work.weak,
        },
        signing_key: file.signing_key.to_bytes(),
        next_key: file.next_key.to_bytes(),
        supernodes: file
            .supernodes
            .into_iter()
            .map(|entry| WorldSupernode {
                identity: entry.identity,
                endpoints: entry.endpoints,
                tls_endpoints: entry.tls_endpoints,
            })
            .collect(),
    };
    let mut signed = world.encode();
    // What does not come back the same was cut (too long a name, too many supernodes) and can't be what was signed.
    if World::decode(&signed).map_err(BadWorldFile::Content)? != world {
        return Err(BadWorldFile::Content(Malformed::Length));
    }
    signed.extend_from_slice(&file.signature.0);
    Ok(signed)
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    zt_world: u8,
    id: Hex<16>,
    serial: u64,
    name: String,
    proof_of_work: Cost,
    signing_key: KeyId,
    next_key: KeyId,
    supernodes: Vec<Entry>,
    signature: Hex<SIGNATURE_LEN>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Cost {
    memory_kib: u32,
    passes: u32,
    bits: u8,
    weak: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    identity: Identity,
    endpoints: Vec<SocketAddr>,
    #[serde(default)]
    tls_endpoints: Vec<String>,
}

struct Hex<const N: usize>([u8; N]);

impl<const N: usize> Serialize for Hex<N> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use core::fmt::Write as _;
        let mut text = String::with_capacity(2 * N);
        for byte in self.0 {
            // Writing to a String cannot fail.
            let _ = write!(text, "{byte:02x}");
        }
        serializer.serialize_str(&text)
    }
}

impl<'de, const N: usize> Deserialize<'de> for Hex<N> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        crate::ids::hex(&text)
            .map(Self)
            .map_err(serde::de::Error::custom)
    }
}
