//! What `ringway ls`, `stat` and `clean` say of tokens and do with them.

mod support;

use ringway::{Arena, Token};
use support::Place;

#[test]
fn a_token_is_shown_and_removed() {
    let place = Place::new();
    let path = |name: &str| place.0.join(name).to_str().unwrap().to_owned();
    let (free, held) = (Token::create(&path("free")).unwrap(), Token::create(&path("held")).unwrap());
    let left = Token::options().held(true).create(&path("left")).unwrap();
    held.acquire().unwrap();
    let pid = std::process::id();
    let seen = |name: &str| place.stat(name).unwrap();
    assert_eq!(
        (&seen("free")["kind"], &seen("free")["state"], &seen("free")["holder"]),
        (&"token".into(), &"free".into(), &serde_json::Value::Null)
    );
    assert_eq!((&seen("held")["state"], &seen("held")["holder"]["pid"]), (&"held".into(), &pid.into()));
    assert_eq!((&seen("left")["state"], &seen("left")["recovered"]), (&"handed over".into(), &0.into()));

    let text = String::from_utf8(place.start(&["ls"]).succeed()).unwrap();
    for (name, note) in
        [("free", String::new()), ("held", format!("held by {pid}")), ("left", "handed over".into())]
    {
        let row = text.lines().find(|row| row.starts_with(name)).unwrap();
        assert!(row.contains(" token ") && row.trim_end().ends_with(&note), "{text}");
    }
    for (name, part) in [
        ("free", "token       nobody has it now\n".into()),
        ("held", format!("held by     process {pid}")),
        ("left", "token       held by nobody in particular, until somebody gives it back\n".into()),
    ] {
        let text = String::from_utf8(place.start(&["stat", name]).succeed()).unwrap();
        assert!(text.contains(&part), "{part:?} in {text}");
        assert!(text.contains("\nrecoveries  came back from a dead holder 0 times\n"), "{text}");
        assert!(text.contains("\nwaiting     nobody now; "), "{text}");
    }
    // What was left held is so with nobody attached, too: until somebody gives it back, or it is removed by name.
    drop((free, held, left));
    assert_eq!(place.start(&["clean"]).succeed(), b"free\n");
    assert_eq!(seen("held")["state"], "handed over");
    Token::open(&path("held")).unwrap().release().unwrap();
    assert_eq!(place.start(&["clean"]).succeed(), b"held\n");
    assert_eq!(place.start(&["clean", "--all"]).succeed(), b"left\n");
}

#[test]
fn those_in_an_arena_are_counted() {
    let place = Place::new();
    let arena = Arena::create(place.0.join("arena").to_str().unwrap(), 1 << 16).unwrap();
    let tokens = [false, true, true].map(|held| Token::options().held(held).create_in(&arena).unwrap());
    tokens[0].acquire().unwrap();
    tokens[1].release().unwrap();
    let text = String::from_utf8(place.start(&["stat", "arena"]).succeed()).unwrap();
    assert!(text.contains("3 tokens, 2 of them held\n"), "{text}");
    arena.unlink().unwrap();
}
