//! The world: who the supernodes are, what proof of work costs, who may sign the next one (SPEC §3).
//!
//! Owner: nobody; a plain value. In: a body. Out: its fields; the same, canonical.
//! Never: a verification, a file.

use core::net::SocketAddr;

use crate::cursor::{Put, Reader};
use crate::endpoint::Endpoints;
use crate::error::Malformed;
use crate::identity::Identity;
use crate::signed::Record;

/// A world, as its body says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct World {
    /// Random, the same in all serials.
    pub id: [u8; 16],
    /// Grows with each version; the first is 1.
    pub serial: u64,
    /// For people; at most 255 bytes.
    pub name: String,
    /// What an identity costs here.
    pub proof_of_work: ProofOfWork,
    /// The Ed25519 key that has signed this world.
    pub signing_key: [u8; 32],
    /// The Ed25519 key that may sign newer ones.
    pub next_key: [u8; 32],
    /// At least one, at most [`World::SUPERNODES`].
    pub supernodes: Vec<WorldSupernode>,
}

/// The parameters of the proof of work (SPEC §2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ProofOfWork {
    /// Memory of Argon2id, KiB.
    pub memory_kib: u32,
    /// Passes of Argon2id.
    pub passes: u32,
    /// Leading zero bits demanded.
    pub bits: u8,
    /// A test world: programs enter it only when told to.
    pub weak: bool,
}

/// A supernode in the world.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorldSupernode {
    /// Who.
    pub identity: Identity,
    /// Its UDP endpoints; at most 32.
    pub endpoints: Vec<SocketAddr>,
    /// Its TLS endpoints, `HOST:PORT`; at most 32.
    pub tls_endpoints: Vec<String>,
}

impl World {
    /// Most supernodes.
    pub const SUPERNODES: usize = 32;
    /// Longest body: as an invite it is 22 KB of text, as a message 15 fragments.
    pub const MAX: usize = 16 << 10;
    const VERSION: u8 = 1;
}

impl Record for World {
    const DOMAIN: &'static str = "zt world 1";

    fn decode(body: &[u8]) -> Result<Self, Malformed> {
        if body.len() > Self::MAX {
            return Err(Malformed::Length);
        }
        let mut r = Reader::new(body);
        match r.u8()? {
            Self::VERSION => {}
            other => return Err(Malformed::Version(other)),
        }
        let id = r.array()?;
        let serial = r.u64()?;
        let name = r.text()?.to_owned();
        let proof_of_work = ProofOfWork {
            memory_kib: r.u32()?,
            passes: r.u32()?,
            bits: r.u8()?,
            weak: r.flags(1)? != 0,
        };
        let signing_key = r.array()?;
        let next_key = r.array()?;
        let count = usize::from(r.u8()?);
        if count == 0 || count > Self::SUPERNODES {
            return Err(Malformed::Count);
        }
        let supernodes = (0..count)
            .map(|_| WorldSupernode::read(&mut r))
            .collect::<Result<_, _>>()?;
        r.end()?;
        if serial == 0 {
            return Err(Malformed::Code);
        }
        Ok(Self {
            id,
            serial,
            name,
            proof_of_work,
            signing_key,
            next_key,
            supernodes,
        })
    }

    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.u8(Self::VERSION);
        out.put(&self.id);
        out.u64(self.serial);
        out.text(&self.name);
        out.u32(self.proof_of_work.memory_kib);
        out.u32(self.proof_of_work.passes);
        out.u8(self.proof_of_work.bits);
        out.u8(u8::from(self.proof_of_work.weak));
        out.put(&self.signing_key);
        out.put(&self.next_key);
        let supernodes = &self.supernodes[..self.supernodes.len().min(Self::SUPERNODES)];
        // At most SUPERNODES.
        out.u8(u8::try_from(supernodes.len()).unwrap_or(u8::MAX));
        for supernode in supernodes {
            supernode.write(&mut out);
        }
        out
    }
}

impl WorldSupernode {
    fn read(r: &mut Reader<'_>) -> Result<Self, Malformed> {
        let identity = Identity::from_bytes(r.array_ref()?)?;
        let count = endpoint_count(r)?;
        let endpoints = (0..count).map(|_| r.socket()).collect::<Result<_, _>>()?;
        let count = endpoint_count(r)?;
        let tls_endpoints = (0..count)
            .map(|_| r.text().map(str::to_owned))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            identity,
            endpoints,
            tls_endpoints,
        })
    }

    fn write(&self, out: &mut impl Put) {
        out.put(&self.identity.to_bytes());
        let endpoints = &self.endpoints[..self.endpoints.len().min(Endpoints::MAX)];
        // At most MAX, here and below.
        out.u8(u8::try_from(endpoints.len()).unwrap_or(u8::MAX));
        for endpoint in endpoints {
            out.socket(*endpoint);
        }
        let endpoints = &self.tls_endpoints[..self.tls_endpoints.len().min(Endpoints::MAX)];
        out.u8(u8::try_from(endpoints.len()).unwrap_or(u8::MAX));
        for endpoint in endpoints {
            out.text(endpoint);
        }
    }
}

fn endpoint_count(r: &mut Reader<'_>) -> Result<u8, Malformed> {
    let count = r.u8()?;
    if usize::from(count) > Endpoints::MAX {
        Err(Malformed::Count)
    } else {
        Ok(count)
    }
}
