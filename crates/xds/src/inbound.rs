//! What a client says: messages out of gRPC's framing of an HTTP/2 body, five bytes before each.
//!
//! Written out instead of taken from tonic's codec, since a message's buffer is given back after it
//! (a client that comes back sends megabytes, once, and then little), and since a large message is
//! not read before its turn.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use http_body::Frame;
use http_body_util::BodyExt;
use tokio::time::timeout_at;
use tonic::Status;

use crate::frames::HEAD_BYTES;
use crate::speaking::{Speaker, Speaking};
use crate::turns::{Coming, LARGE_BYTES, Turn, Turns, Waiting};

/// What comes with the end of a message, of the next.
const FRAME_BYTES: usize = 16 << 10;

/// The messages of a client.
pub(crate) struct Inbound {
    body: tonic::body::Body,
    buffer: BytesMut,
    limit: usize,
    turns: Turns,
    large: Large,
    speaker: Option<Speaker>,
    /// Of a large message that has begun.
    speaking: Option<Speaking>,
}

/// Where a large message is.
enum Large {
    /// None has begun to come.
    No,
    Waits(Waiting),
    Comes(Coming),
}

/// A message.
#[derive(Debug)]
pub(crate) struct Word {
    pub(crate) bytes: Bytes,
    /// A large one's, to be kept until it is taken in.
    pub(crate) turn: Option<Turn>,
}

impl Inbound {
    /// Messages of `limit` bytes at most.
    pub(crate) fn new(body: tonic::body::Body, limit: usize, turns: Turns) -> Self {
        let (buffer, large) = (BytesMut::new(), Large::No);
        Self { body, buffer, limit, turns, large, speaker: None, speaking: None }
    }

    /// From now on others are told of large messages that begin.
    pub(crate) fn tell(&mut self, speaker: Speaker) {
        self.speaker = Some(speaker);
    }

    /// The next message; `None` when the client has said its last.
    ///
    /// Nothing is lost when the future is dropped: what was read stays in the buffer, and a place in
    /// the queue is kept.
    pub(crate) async fn next(&mut self) -> Result<Option<Word>, Status> {
        loop {
            if let Some(whole) = self.whole()? {
                if self.buffer.len() >= whole {
                    return Ok(Some(self.take(whole)));
                }
                if whole > LARGE_BYTES && self.has_begun() {
                    self.turn(whole).await;
                }
            }
            match self.frame().await? {
                None if self.buffer.is_empty() => return Ok(None),
                None => return Err(Status::internal("the stream ended within a message")),
                Some(frame) => {
                    if let Ok(data) = frame.into_data() {
                        self.add(data);
                    }
                }
            }
        }
    }

    /// More has come. For a small message that has begun there is room for all of it at once.
    fn add(&mut self, data: Bytes) {
        if self.buffer.is_empty()
            && let Some(whole) = length(&data).filter(|whole| *whole <= LARGE_BYTES)
        {
            self.buffer.reserve(whole.max(data.len()));
        }
        self.buffer.put(data);
    }

    /// Whether a large message has begun to come: then it has deadlines of its own.
    pub(crate) fn is_large(&self) -> bool {
        !matches!(self.large, Large::No)
    }

    /// Whether as much has come of a large message as may come before its turn.
    fn has_begun(&self) -> bool {
        let begun = &self.buffer[HEAD_BYTES..];
        self.is_large() || self.speaker.as_ref().is_none_or(|it| it.has_enough(begun))
    }

    /// How long the message is that has begun to come, with its head.
    fn whole(&self) -> Result<Option<usize>, Status> {
        let Some(whole) = length(&self.buffer) else { return Ok(None) };
        if self.buffer[0] != 0 {
            return Err(Status::unimplemented("messages are not to be compressed"));
        }
        let len = whole - HEAD_BYTES;
        if len > self.limit {
            let text = format!("a message of {len} bytes; the limit is {}", self.limit);
            return Err(Status::resource_exhausted(text));
        }
        Ok(Some(whole))
    }

    /// Waits until it is the turn of a message of so many bytes. Then there is room for all of it at
    /// once: growing again and again would take twice as much, and copy it each time.
    async fn turn(&mut self, whole: usize) {
        if let Large::No = self.large {
            self.large = Large::Waits(self.turns.wait(whole));
            let begun = &self.buffer[HEAD_BYTES..];
            self.speaking = self.speaker.as_ref().and_then(|it| it.begins(begun));
        }
        if let Large::Waits(waiting) = &mut self.large {
            self.large = Large::Comes(waiting.await);
            self.buffer.reserve(whole + FRAME_BYTES - self.buffer.len());
        }
    }

    /// What comes next, as long as is waited for it.
    async fn frame(&mut self) -> Result<Option<Frame<Bytes>>, Status> {
        let frame = match &mut self.large {
            Large::Comes(coming) => {
                let frame = timeout_at(coming.patience(), self.body.frame()).await;
                let frame = frame.map_err(|_| coming.too_slow())?;
                coming.came();
                frame
            }
            _ => self.body.frame().await,
        };
        frame.transpose()
    }

    fn take(&mut self, whole: usize) -> Word {
        self.buffer.advance(HEAD_BYTES);
        let bytes = self.buffer.split_to(whole - HEAD_BYTES).freeze();
        let turn = match std::mem::replace(&mut self.large, Large::No) {
            Large::Comes(coming) => Some(coming.whole(self.speaking.take())),
            _ => None,
        };
        // The beginning of the next must not hold the memory of a large one; and a stream that waits
        // holds none for what it may hear.
        if turn.is_some() || self.buffer.is_empty() {
            self.buffer = BytesMut::from(&self.buffer[..]);
        }
        Word { bytes, turn }
    }
}

/// How long a message is that begins like this, with its head.
fn length(begun: &[u8]) -> Option<usize> {
    let [_, len @ ..] = begun.first_chunk::<HEAD_BYTES>()?;
    Some(HEAD_BYTES + u32::from_be_bytes(*len) as usize)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http_body_util::StreamBody;
    use tokio::sync::mpsc;
    use tokio_stream::StreamExt;
    use tokio_stream::wrappers::ReceiverStream;

    use super::*;
    use crate::limits::Limits;

    const BYTES: usize = 2 * LARGE_BYTES;
    const SHARE: usize = HEAD_BYTES + BYTES;

    fn turns(messages: usize, turn_silence: Duration) -> Turns {
        Turns::new(&Limits { turns_bytes: messages * SHARE, turn_silence, ..Limits::default() })
    }

    /// Of a client that has said so much so far, as much of it as there is room for.
    fn inbound(turns: &Turns) -> (mpsc::Sender<Bytes>, Inbound) {
        let (says, said) = mpsc::channel(1);
        let frames = ReceiverStream::new(said).map(|data| Ok::<_, Status>(Frame::data(data)));
        let body = tonic::body::Body::new(StreamBody::new(frames));
        (says, Inbound::new(body, 1 << 20, turns.clone()))
    }

    fn message(len: usize, byte: u8) -> Vec<u8> {
        let mut bytes = vec![0];
        bytes.put_u32(len as u32);
        bytes.resize(HEAD_BYTES + len, byte);
        bytes
    }

    async fn say(says: &mpsc::Sender<Bytes>, bytes: Vec<u8>) {
        for chunk in bytes.chunks(FRAME_BYTES) {
            says.send(Bytes::copy_from_slice(chunk)).await.expect("it is listened");
        }
    }

    #[tokio::test]
    async fn large_messages_come_in_turn_and_small_ones_at_once() {
        let turns = turns(3, Duration::from_secs(3600));
        let (heard, mut words) = mpsc::channel(100);
        for n in 0..10 {
            let (says, mut inbound) = inbound(&turns);
            let heard = heard.clone();
            tokio::spawn(async move { say(&says, message(BYTES, n)).await });
            tokio::spawn(async move { heard.send(inbound.next().await).await });
        }
        let mut kept = Vec::new();
        for _ in 0..3 {
            kept.push(words.recv().await.unwrap().unwrap().expect("a message"));
        }
        assert_eq!(turns.free_bytes(), 0, "three have all that there is");
        assert!(words.try_recv().is_err(), "and nobody else has come");
        let (says, mut small) = inbound(&turns);
        let word = tokio::join!(say(&says, message(LARGE_BYTES - HEAD_BYTES, 1)), small.next()).1;
        assert!(word.unwrap().expect("a message").turn.is_none(), "a small one takes no turn");
        for _ in 3..10 {
            // Whoever is taken in makes room for one more.
            drop(kept.pop());
            kept.push(words.recv().await.unwrap().unwrap().expect("a message"));
            assert_eq!((turns.free_bytes(), words.try_recv().is_err()), (0, true));
        }
        let mut whole: Vec<_> = kept.iter().map(|word| word.bytes.len()).collect();
        whole.dedup();
        assert_eq!(whole, [BYTES]);
    }

    #[tokio::test]
    async fn who_stops_in_the_middle_or_leaves_the_queue_holds_nobody_up() {
        let turns = turns(1, Duration::from_millis(20));
        let (stalls, mut stalled) = inbound(&turns);
        let (_, refused) =
            tokio::join!(say(&stalls, message(BYTES, 1)[..BYTES / 2].to_vec()), stalled.next());
        assert_eq!(refused.unwrap_err().code(), tonic::Code::DeadlineExceeded);
        let (waits, mut leaves) = inbound(&turns);
        say(&waits, message(BYTES, 2)[..HEAD_BYTES].to_vec()).await;
        tokio::select! {
            biased;
            _ = leaves.next() => panic!("the turn is another's"),
            () = std::future::ready(()) => {}
        }
        assert!(leaves.is_large(), "it keeps its place");
        drop((stalled, leaves));
        let (says, mut last) = inbound(&turns);
        let (_, word) = tokio::join!(say(&says, message(BYTES, 3)), last.next());
        assert_eq!(word.unwrap().expect("a message").bytes.len(), BYTES);
    }

    #[tokio::test]
    async fn the_beginning_of_a_message_does_not_hold_the_memory_of_the_one_before() {
        let turns = turns(1, Duration::from_secs(3600));
        let (says, mut inbound) = inbound(&turns);
        let both = [message(BYTES, 1), message(BYTES, 2)].concat();
        tokio::spawn(async move { say(&says, both).await });
        for byte in [1, 2] {
            let word = inbound.next().await.unwrap().expect("a message");
            assert!(word.bytes.iter().all(|it| *it == byte), "message {byte}");
            assert!(inbound.buffer.capacity() <= FRAME_BYTES, "{}", inbound.buffer.capacity());
        }
        assert!(inbound.next().await.unwrap().is_none());
    }
}
