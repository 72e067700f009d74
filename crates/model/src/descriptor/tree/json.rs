//! JSON text to nodes (RFC 8259). Finds the tokens and their places; what a string or a number
//! means is left to `serde_json`.

use super::budget::{Budget, Size};
use super::{Entry, Node, Value};
use crate::descriptor::refusal::Spot;
use crate::descriptor::{Code, Place, Refusal};

type Read<T> = Result<T, Box<Refusal>>;

pub(super) fn read(text: &str) -> Read<Node> {
    let mut reader = Reader { text, at: 0, line: 1, col: 1, budget: Budget::default() };
    let node = reader.value(0)?;
    reader.space();
    match reader.peek() {
        None => Ok(node),
        Some(_) => Err(reader.expected("the end of the text")),
    }
}

struct Reader<'t> {
    text: &'t str,
    at: usize,
    line: u32,
    col: u32,
    budget: Budget,
}

impl<'t> Reader<'t> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn advance(&mut self, bytes: usize) -> &'t str {
        let taken = &self.text[self.at..self.at + bytes];
        self.at += bytes;
        for c in taken.chars() {
            (self.line, self.col) =
                if c == '\n' { (self.line + 1, 1) } else { (self.line, self.col + 1) };
        }
        taken
    }

    fn space(&mut self) {
        let rest = &self.text[self.at..];
        let space = rest.len() - rest.trim_start_matches([' ', '\t', '\n', '\r']).len();
        self.advance(space);
    }

    /// Takes `byte` when it comes next after space.
    fn takes(&mut self, byte: u8) -> bool {
        self.space();
        let next = self.peek() == Some(byte);
        if next {
            self.advance(1);
        }
        next
    }

    fn here(&self) -> Place {
        Place { line: self.line, col: self.col, len: 1 }
    }

    /// From `start` to here, when that is one line.
    fn since(&self, start: Place) -> Option<Place> {
        let len = if start.line == self.line { self.col - start.col } else { 1 };
        Some(Place { len: len.max(1), ..start })
    }

    fn expected(&self, what: &str) -> Box<Refusal> {
        let found = match self.text[self.at..].chars().next() {
            None => "the text ends".to_owned(),
            Some(c) => format!("found {}", crate::descriptor::refusal::quote(&c.to_string())),
        };
        self.wrong(Some(self.here()), format!("expected {what}, but {found}"))
    }

    fn wrong(&self, place: Option<Place>, message: String) -> Box<Refusal> {
        Box::new(Refusal::new(Code::Syntax, &Spot { path: String::new(), place }, message))
    }

    fn value(&mut self, depth: usize) -> Read<Node> {
        self.space();
        let start = self.here();
        let from = self.at;
        // A collection is paid for when it opens, so that depth is refused before the stack grows.
        let collection = matches!(self.peek(), Some(b'{' | b'['));
        if collection {
            let size = Size { nodes: 1, bytes: 0, height: 1 };
            self.budget.take(size, depth, Some(start))?;
        }
        let value = match self.peek() {
            Some(b'{') => self.map(depth)?,
            Some(b'[') => self.list(depth)?,
            Some(b'"') => Value::Text(self.string()?),
            Some(b'-' | b'0'..=b'9') => self.number()?,
            _ => self.word()?,
        };
        let place = if collection { Some(start) } else { self.since(start) };
        if !collection {
            let size = Size { nodes: 1, bytes: self.at - from, height: 0 };
            self.budget.take(size, depth, place)?;
        }
        Ok(Node { value, place })
    }

    fn map(&mut self, depth: usize) -> Read<Value> {
        self.advance(1);
        let mut entries = Vec::new();
        if self.takes(b'}') {
            return Ok(Value::Map(entries));
        }
        loop {
            entries.push(self.entry(depth)?);
            if self.takes(b'}') {
                return Ok(Value::Map(entries));
            }
            if !self.takes(b',') {
                return Err(self.expected("`,` or `}`"));
            }
        }
    }

    fn entry(&mut self, depth: usize) -> Read<Entry> {
        self.space();
        if self.peek() != Some(b'"') {
            return Err(self.expected("a key in double quotes"));
        }
        let start = self.here();
        let key = self.string()?;
        let key_place = self.since(start);
        if !self.takes(b':') {
            return Err(self.expected("`:`"));
        }
        Ok(Entry { key, key_place, value: self.value(depth + 1)? })
    }

    fn list(&mut self, depth: usize) -> Read<Value> {
        self.advance(1);
        let mut items = Vec::new();
        if self.takes(b']') {
            return Ok(Value::List(items));
        }
        loop {
            items.push(self.value(depth + 1)?);
            if self.takes(b']') {
                return Ok(Value::List(items));
            }
            if !self.takes(b',') {
                return Err(self.expected("`,` or `]`"));
            }
        }
    }

    fn string(&mut self) -> Read<String> {
        let start = self.here();
        let bytes = &self.text.as_bytes()[self.at..];
        let mut len = 1;
        loop {
            match bytes.get(len) {
                Some(b'"') => break,
                Some(b'\\') => len += 2,
                Some(byte) if *byte >= b' ' => len += 1,
                _ => return Err(self.wrong(Some(start), "the string does not end".to_owned())),
            }
        }
        let token = self.advance(len + 1);
        serde_json::from_str(token).map_err(|error| {
            self.wrong(self.since(start), format!("not a JSON string: {}", reason(&error)))
        })
    }

    fn number(&mut self) -> Read<Value> {
        let start = self.here();
        let rest = &self.text[self.at..];
        let inside = |c: char| matches!(c, '-' | '+' | '.' | 'e' | 'E' | '0'..='9');
        let token = self.advance(rest.len() - rest.trim_start_matches(inside).len());
        match serde_json::from_str::<serde::de::IgnoredAny>(token) {
            Ok(_) => Ok(Value::Number(token.to_owned())),
            Err(_) => Err(self.wrong(self.since(start), "not a JSON number".to_owned())),
        }
    }

    fn word(&mut self) -> Read<Value> {
        for (word, value) in
            [("true", Value::Bool(true)), ("false", Value::Bool(false)), ("null", Value::Null)]
        {
            if self.text[self.at..].starts_with(word) {
                self.advance(word.len());
                return Ok(value);
            }
        }
        Err(self.expected("a value"))
    }
}

/// What `serde_json` says, without its position, which counts from the token's beginning.
fn reason(error: &serde_json::Error) -> String {
    let text = error.to_string();
    if text.contains("surrogate") || text.contains("end of hex escape") {
        return "escapes from `\\ud800` to `\\udfff` stand in pairs".to_owned();
    }
    text.split(" at line ").next().unwrap_or(&text).to_owned()
}
