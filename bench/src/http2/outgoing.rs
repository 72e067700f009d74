//! What is said on a connection that has one stream: as much as the other side lets be sent.

use std::collections::VecDeque;

use bytes::{Buf, BufMut, Bytes};

use super::incoming::{DATA, HEAD_BYTES, HEADERS, PING, SETTINGS, WINDOW_UPDATE};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// The only one there is.
const STREAM: u32 = 1;
/// Where both windows begin.
const WINDOW_BYTES: i64 = 65_535;
/// The largest frame that everybody takes.
const FRAME_BYTES: usize = 16 << 10;
/// Frames are made ahead of the socket up to here.
const AHEAD_BYTES: usize = 4 * FRAME_BYTES;
/// What a stream keeps while it says nothing: an acknowledgement has room.
const KEPT_BYTES: usize = 512;
/// The headers are whole.
const END_HEADERS: u8 = 4;
const ANSWER: u8 = 1;
/// Of a text in one byte: it says that another one follows.
const LENGTH_MAX: usize = 127;
const ENABLE_PUSH: u16 = 2;
const INITIAL_WINDOW_SIZE: u16 = 4;

/// Messages, and the frames that they become.
pub(crate) struct Outgoing {
    messages: VecDeque<Bytes>,
    frames: Vec<u8>,
    written: usize,
    /// How much may be sent on the stream, and on the connection.
    windows: [i64; 2],
    initial: i64,
}

impl Outgoing {
    /// Calls a method, and lets so many bytes be sent unread.
    pub(super) fn open(host: &str, path: &str, window: u32) -> Self {
        let windows = [WINDOW_BYTES; 2];
        let (messages, frames) = (VecDeque::new(), PREFACE.to_vec());
        let mut this = Self { messages, frames, written: 0, windows, initial: WINDOW_BYTES };
        let mut settings = Vec::new();
        for (name, value) in [(ENABLE_PUSH, 0), (INITIAL_WINDOW_SIZE, window)] {
            settings.put_u16(name);
            settings.put_u32(value);
        }
        this.frame(SETTINGS, 0, 0, &settings);
        this.frame(WINDOW_UPDATE, 0, 0, &window.to_be_bytes());
        this.frame(HEADERS, END_HEADERS, STREAM, &headers(host, path));
        this
    }

    /// Says a message after those before it.
    pub(crate) fn say(&mut self, message: Bytes) {
        self.messages.push_back(message);
    }

    /// So many bytes more may be sent to us.
    pub(super) fn may_send(&mut self, bytes: u32) {
        for stream in [0, STREAM] {
            self.frame(WINDOW_UPDATE, 0, stream, &bytes.to_be_bytes());
        }
    }

    /// The other side has told or asked something.
    pub(super) fn told(&mut self, kind: u8, flags: u8, on_stream: bool, mut payload: &[u8]) {
        match kind {
            WINDOW_UPDATE if payload.len() == 4 => {
                self.windows[usize::from(!on_stream)] += i64::from(payload.get_u32());
            }
            PING if flags & ANSWER == 0 => self.frame(PING, ANSWER, 0, payload),
            SETTINGS if flags & ANSWER == 0 => {
                while payload.len() >= 6 {
                    let (name, value) = (payload.get_u16(), i64::from(payload.get_u32()));
                    if name == INITIAL_WINDOW_SIZE {
                        self.windows[0] += value - self.initial;
                        self.initial = value;
                    }
                }
                self.frame(SETTINGS, ANSWER, 0, &[]);
            }
            _ => {}
        }
    }

    /// What is to be written next, if anything may be.
    pub(super) fn next(&mut self) -> Option<&[u8]> {
        if self.written == self.frames.len() {
            self.frames.clear();
            self.written = 0;
            if self.frames.capacity() > KEPT_BYTES {
                self.frames = Vec::new();
            }
        }
        while self.frames.len() < AHEAD_BYTES && self.cut() {}
        Some(&self.frames[self.written..]).filter(|left| !left.is_empty())
    }

    /// So much of it was.
    pub(super) fn wrote(&mut self, bytes: usize) {
        self.written += bytes;
    }

    /// A frame of the first message, if there is one and it may be sent.
    fn cut(&mut self) -> bool {
        let window = usize::try_from(self.windows[0].min(self.windows[1])).unwrap_or(0);
        let Some(message) = self.messages.front_mut() else { return false };
        let part = message.split_to(message.len().min(FRAME_BYTES).min(window));
        if message.is_empty() {
            self.messages.pop_front();
        } else if part.is_empty() {
            return false;
        }
        self.windows = self.windows.map(|it| it - part.len() as i64);
        self.frame(DATA, 0, STREAM, &part);
        true
    }

    fn frame(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        self.frames.reserve(HEAD_BYTES + payload.len());
        self.frames.put_uint(payload.len() as u64, 3);
        self.frames.extend([kind, flags]);
        self.frames.put_u32(stream);
        self.frames.extend_from_slice(payload);
    }
}

/// Literal, and never entered into a table: `POST`, `http`, then what has a name in the fixed table.
fn headers(host: &str, path: &str) -> Vec<u8> {
    let mut block = vec![0x83, 0x86];
    let mut text = |name: &[u8], value: &str| {
        block.extend_from_slice(name);
        // Seven bits, and what is more in another seven.
        let more = value.len().checked_sub(LENGTH_MAX);
        block.push(value.len().min(LENGTH_MAX) as u8);
        block.extend(more.map(|more| more as u8));
        block.extend_from_slice(value.as_bytes());
    };
    text(&[0x01], host);
    text(&[0x04], path);
    text(&[0x0f, 0x10], "application/grpc");
    text(&[0, 2, b't', b'e'], "trailers");
    block
}
