//! Who gets a frame besides its receivers: members that rules name for a copy, or instead.
//!
//! Owner: one frame's way out. In: what rules say for each receiver. Out: each member once, with how much it gets.
//! Never: an allocation; more members than `limits::COPIES`.

use zt_wire::Address;

use crate::limits;

/// Members and how many bytes they get; 65,535 is all.
#[derive(Debug, Default)]
pub(super) struct Extras([Option<(Address, u16)>; limits::COPIES]);

impl Extras {
    /// Adds a member, or gives it more. One too many is left out.
    pub(super) fn add(&mut self, address: Address, length: u16) {
        for place in &mut self.0 {
            match place {
                Some((known, most)) if *known == address => {
                    *most = length.max(*most);
                    return;
                }
                Some(_) => {}
                None => {
                    *place = Some((address, length));
                    return;
                }
            }
        }
    }

    pub(super) fn each(&self) -> impl Iterator<Item = (Address, u16)> {
        self.0.into_iter().flatten()
    }
}
