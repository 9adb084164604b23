//! A device that refuses super frames still gets every frame.

use std::cell::RefCell;

use super::*;
use crate::tap::coalesce::{Arena, Coalescer};
use crate::tap::header::{GSO_NONE, LEN};

/// A device that refuses some frames and keeps the others.
struct Picky {
    errno: Errno,
    refuses: fn(VirtioHeader) -> bool,
    calls: RefCell<usize>,
    kept: RefCell<Vec<(VirtioHeader, Vec<u8>)>>,
}

impl Picky {
    fn new(errno: Errno, refuses: fn(VirtioHeader) -> bool) -> Self {
        Self {
            errno,
            refuses,
            calls: RefCell::default(),
            kept: RefCell::default(),
        }
    }
}

impl Device for Picky {
    fn take(&self, parts: &[IoSlice<'_>]) -> Result<(), Errno> {
        *self.calls.borrow_mut() += 1;
        let header = VirtioHeader::from_bytes(<[u8; LEN]>::try_from(&*parts[0]).unwrap());
        if (self.refuses)(header) {
            return Err(self.errno);
        }
        let bytes = parts[1..].iter().flat_map(|part| part.to_vec()).collect();
        self.kept.borrow_mut().push((header, bytes));
        Ok(())
    }
}

/// A UDP datagram of 600 bytes over IP version 4, its checksum open.
fn datagram(fill: u8) -> Vec<u8> {
    let mut frame = vec![2; 12];
    frame.extend([8, 0, 0x45, 0, 2, 116, 0, 0, 0x40, 0, 64, 17, 0, 0]);
    frame.extend([192, 0, 2, 1, 192, 0, 2, 2]);
    let header = !checksum_of(&frame[14..34]);
    frame[24..26].copy_from_slice(&header.to_be_bytes());
    frame.extend([0, 7, 0, 8, 2, 96, 1, 1]);
    frame.extend([fill; 600]);
    frame
}

fn checksum_of(bytes: &[u8]) -> u16 {
    crate::tap::checksum::fold(crate::tap::checksum::sum(bytes))
}

fn round(writer: &mut Writer, device: &Picky, count: u8) {
    let mut coalescer = Coalescer::default();
    let offload = Offload::Checksum {
        start: 34,
        offset: 6,
    };
    for fill in 0..count {
        let bytes = &datagram(fill);
        let header = VirtioHeader {
            flags: NEEDS_CSUM,
            start: 34,
            offset: 6,
            ..VirtioHeader::default()
        };
        let frame = TapFrame { bytes, offload };
        coalescer.take(frame, header, Arena::default(), writer.joins());
    }
    coalescer.flush(&[], |frame, arena| writer.write(device, frame, arena));
}

const ALL: Joins = Joins {
    tcp: true,
    udp: true,
};

#[test]
fn a_kernel_that_refuses_joined_datagrams_gets_them_singly_and_is_not_asked_again() {
    for errno in [Errno::IO, Errno::INVAL] {
        let mut writer = Writer::new(ALL);
        let device = Picky::new(errno, |header| header.kind != GSO_NONE);
        round(&mut writer, &device, 5);
        round(&mut writer, &device, 5);
        let kept = device.kept.borrow();
        assert_eq!(kept.len(), 10, "none is lost, not even the first ones");
        for (index, (header, bytes)) in kept.iter().enumerate() {
            assert_eq!(bytes.len(), 642);
            assert_eq!(usize::from(bytes[100]), index % 5, "in their order");
            assert_eq!((header.start, header.offset), (34, 6));
        }
        assert_eq!(*device.calls.borrow(), 11, "one super frame was tried");
        assert_eq!((writer.joins().udp, writer.joins().tcp), (false, true));
        assert_eq!(writer.lost(), 0);
    }
}

#[test]
fn a_device_that_is_down_does_not_count_as_one_without_super_frames() {
    let mut writer = Writer::new(ALL);
    let device = Picky::new(Errno::IO, |_| true);
    round(&mut writer, &device, 5);
    assert_eq!(writer.joins(), ALL);
    assert_eq!(writer.lost(), 5, "each datagram counts");
}

#[test]
fn a_full_queue_loses_what_it_is_offered_and_nothing_is_given_up() {
    let mut writer = Writer::new(ALL);
    let device = Picky::new(Errno::AGAIN, |header| header.kind != GSO_NONE);
    round(&mut writer, &device, 5);
    assert_eq!(writer.joins(), ALL);
    assert_eq!((writer.lost(), *device.calls.borrow()), (5, 1));
}
