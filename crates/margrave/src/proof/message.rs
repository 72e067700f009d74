//! A question for TXT records as bytes, and its answer. Pure: what comes from the network is judged here.

use simple_dns::rdata::{OPT, RData};
use simple_dns::{
    CLASS, Name, Packet, PacketFlag, QCLASS, QTYPE, Question, RCODE, SimpleDnsError, TYPE,
};

/// The largest datagram that we take: what passes everywhere in one piece.
const DATAGRAM_BYTES_MAX: u16 = 1232;
/// Records that an answer is searched for; more are nobody's proof.
const RECORDS_MAX: usize = 256;
/// Names that may lead to another before the records.
const ALIASES_MAX: usize = 8;

/// What an answer says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// These texts are there, maybe none.
    Texts(Vec<String>),
    /// It did not fit: to be asked for by TCP.
    Cut,
    /// The server cannot tell, with its code.
    Failed(&'static str),
    /// This is no answer to our question: to be passed over.
    Other,
}

/// The question.
pub fn question(id: u16, name: &str) -> Result<Vec<u8>, SimpleDnsError> {
    let mut packet = Packet::new_query(id);
    packet.set_flags(PacketFlag::RECURSION_DESIRED);
    *packet.opt_mut() =
        Some(OPT { opt_codes: Vec::new(), udp_packet_size: DATAGRAM_BYTES_MAX, version: 0 });
    let (qtype, qclass) = (QTYPE::TYPE(TYPE::TXT), QCLASS::CLASS(CLASS::IN));
    packet.questions.push(Question::new(Name::new(name)?, qtype, qclass, false));
    packet.build_bytes_vec()
}

/// What these bytes say to the question.
pub fn answer(id: u16, name: &str, bytes: &[u8]) -> Answer {
    let Ok(packet) = Packet::parse(bytes) else { return Answer::Other };
    if packet.id() != id || !packet.has_flags(PacketFlag::RESPONSE) || !asks(&packet, name) {
        return Answer::Other;
    }
    if packet.has_flags(PacketFlag::TRUNCATION) {
        return Answer::Cut;
    }
    match packet.rcode() {
        RCODE::NoError => Answer::Texts(texts(&packet, name)),
        RCODE::NameError => Answer::Texts(Vec::new()),
        RCODE::ServerFailure => Answer::Failed("SERVFAIL"),
        RCODE::Refused => Answer::Failed("REFUSED"),
        _ => Answer::Failed("an error"),
    }
}

fn is(name: &Name<'_>, text: &str) -> bool {
    name.to_string().eq_ignore_ascii_case(text)
}

fn asks(packet: &Packet<'_>, name: &str) -> bool {
    matches!(packet.questions.as_slice(), [only] if is(&only.qname, name))
}

/// The texts at the name, or at what it is another name for.
fn texts(packet: &Packet<'_>, name: &str) -> Vec<String> {
    let records = || packet.answers.iter().take(RECORDS_MAX).filter(|it| it.class == CLASS::IN);
    let mut at = name.to_owned();
    for _ in 0..ALIASES_MAX {
        let alias = records().find_map(|record| match &record.rdata {
            RData::CNAME(to) if is(&record.name, &at) => Some(to.0.to_string()),
            _ => None,
        });
        let Some(alias) = alias else { break };
        at = alias;
    }
    let text = |record: &simple_dns::ResourceRecord<'_>| match &record.rdata {
        RData::TXT(text) if is(&record.name, &at) => String::try_from(text.clone()).ok(),
        _ => None,
    };
    records().filter_map(text).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use simple_dns::ResourceRecord;
    use simple_dns::rdata::{CNAME, TXT};

    use super::*;

    const NAME: &str = "_margrave.shop.acme.org";

    fn record<'a>(name: &'a str, rdata: RData<'a>) -> ResourceRecord<'a> {
        ResourceRecord::new(Name::new(name).unwrap(), CLASS::IN, 60, rdata)
    }

    fn text<'a>(name: &'a str, text: &'a str) -> ResourceRecord<'a> {
        record(name, RData::TXT(TXT::try_from(text).unwrap()))
    }

    fn alias<'a>(name: &'a str, to: &'a str) -> ResourceRecord<'a> {
        record(name, RData::CNAME(CNAME(Name::new(to).unwrap())))
    }

    /// A reply to our question with these records, changed by `change`.
    fn reply(records: Vec<ResourceRecord<'_>>, change: impl Fn(&mut Packet<'_>)) -> Vec<u8> {
        let asked = question(7, NAME).unwrap();
        let mut packet = Packet::parse(&asked).unwrap().into_reply();
        packet.answers = records;
        change(&mut packet);
        packet.build_bytes_vec().unwrap()
    }

    #[test]
    fn an_answer_is_read_and_what_is_none_is_passed_over() {
        let long = "x".repeat(600);
        let texts = |list: &[&str]| Answer::Texts(list.iter().map(|it| (*it).to_owned()).collect());
        let plain = |_: &mut Packet<'_>| {};
        for (bytes, expected) in [
            (reply(vec![text(NAME, "a"), text("_margrave.other.org", "b")], plain), texts(&["a"])),
            (reply(vec![text("_MARGRAVE.shop.Acme.org", "a")], plain), texts(&["a"])),
            (reply(vec![text(NAME, &long)], plain), texts(&[&long])),
            (
                reply(vec![text("x.y.z", "c"), alias(NAME, "p.q"), alias("p.q", "x.y.z")], plain),
                texts(&["c"]),
            ),
            (reply(vec![alias(NAME, "p.q"), alias("p.q", NAME)], plain), texts(&[])),
            (reply(vec![], plain), texts(&[])),
            (reply(vec![], |it| *it.rcode_mut() = RCODE::NameError), texts(&[])),
            (
                reply(vec![], |it| *it.rcode_mut() = RCODE::ServerFailure),
                Answer::Failed("SERVFAIL"),
            ),
            (reply(vec![], |it| *it.rcode_mut() = RCODE::Refused), Answer::Failed("REFUSED")),
            (reply(vec![text(NAME, "a")], |it| it.set_flags(PacketFlag::TRUNCATION)), Answer::Cut),
            (reply(vec![text(NAME, "a")], |it| it.set_id(8)), Answer::Other),
            (
                reply(vec![text(NAME, "a")], |it| it.remove_flags(PacketFlag::RESPONSE)),
                Answer::Other,
            ),
            (reply(vec![text(NAME, "a")], |it| it.questions.clear()), Answer::Other),
            (Vec::new(), Answer::Other),
        ] {
            assert_eq!(answer(7, NAME, &bytes), expected);
        }
    }

    proptest! {
        #[test]
        fn whatever_comes_is_judged(bytes in prop::collection::vec(any::<u8>(), 0..600), at in 0usize..200, by in any::<u8>()) {
            answer(7, NAME, &bytes);
            let mut real = reply(vec![text(NAME, "a"), alias(NAME, "p.q")], |_| {});
            let at = at % real.len();
            real[at] ^= by;
            answer(7, NAME, &real);
            real.truncate(at);
            answer(7, NAME, &real);
        }
    }
}
