//! What comes on a connection that has one stream.

use anyhow::{Result, bail};

/// Length, kind, flags and stream.
pub(super) const HEAD_BYTES: usize = 9;
pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const RESET: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
pub(super) const PING: u8 = 6;
pub(super) const WINDOW_UPDATE: u8 = 8;
/// Of `DATA` and `HEADERS`; of `SETTINGS` and `PING` the same bit says that it is an answer.
const END_STREAM: u8 = 1;
const PADDED: u8 = 8;

/// What has come.
pub(super) enum Event<'a> {
    /// A part of the stream.
    Data(&'a [u8]),
    Headers,
    /// The server has ended the stream.
    Ended,
    /// `SETTINGS`, `PING` and `WINDOW_UPDATE`.
    Asked {
        kind: u8,
        flags: u8,
        on_stream: bool,
        payload: &'a [u8],
    },
}

/// Reads frames, however they are cut.
#[derive(Default)]
pub(super) struct Incoming {
    head: [u8; HEAD_BYTES],
    /// So much of the head is there.
    begun: usize,
    /// Of the payload, after the head.
    left: usize,
    /// The payload, where it is short and needed whole.
    short: Vec<u8>,
}

impl Incoming {
    /// Tells what these bytes bring.
    pub(super) fn take(
        &mut self,
        mut bytes: &[u8],
        mut event: impl FnMut(Event<'_>) -> Result<()>,
    ) -> Result<()> {
        loop {
            if self.begun < HEAD_BYTES && !self.head(&mut bytes)? {
                return Ok(());
            }
            let (now, later) = bytes.split_at(self.left.min(bytes.len()));
            (bytes, self.left) = (later, self.left - now.len());
            match self.kind() {
                DATA if !now.is_empty() => event(Event::Data(now))?,
                SETTINGS | PING | WINDOW_UPDATE => self.short.extend_from_slice(now),
                _ => {}
            }
            if self.left > 0 {
                return Ok(());
            }
            self.whole(&mut event)?;
            self.begun = 0;
        }
    }

    fn kind(&self) -> u8 {
        self.head[3]
    }

    /// Whether the head is there.
    fn head(&mut self, bytes: &mut &[u8]) -> Result<bool> {
        let (now, later) = bytes.split_at((HEAD_BYTES - self.begun).min(bytes.len()));
        self.head[self.begun..self.begun + now.len()].copy_from_slice(now);
        (*bytes, self.begun) = (later, self.begun + now.len());
        if self.begun < HEAD_BYTES {
            return Ok(false);
        }
        let [a, b, c, kind, flags, ..] = self.head;
        self.left = u32::from_be_bytes([0, a, b, c]) as usize;
        if kind == DATA && flags & PADDED != 0 {
            bail!("padding is not understood");
        }
        Ok(true)
    }

    /// A frame has come to its end.
    fn whole(&mut self, event: &mut impl FnMut(Event<'_>) -> Result<()>) -> Result<()> {
        let [_, _, _, kind, flags, stream @ ..] = self.head;
        match kind {
            HEADERS => event(Event::Headers)?,
            SETTINGS | PING | WINDOW_UPDATE => {
                let payload = &std::mem::take(&mut self.short)[..];
                let on_stream = stream != [0; 4];
                event(Event::Asked { kind, flags, on_stream, payload })?;
            }
            _ => {}
        }
        if kind == RESET || (matches!(kind, DATA | HEADERS) && flags & END_STREAM != 0) {
            event(Event::Ended)?;
        }
        Ok(())
    }
}
