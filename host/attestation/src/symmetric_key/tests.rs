//! Tokens of real clients, and texts that are not tokens.

use std::cell::Cell;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use zeroize::Zeroizing;

use super::*;

/// Base64 of ASCII `0123456789abcdef0123456789abcdef`.
const KEY: &str = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";

/// Tokens that unmodified clients sent, signed with [`KEY`]: the client, `sr` as written, `se`, the signature, the
/// device.
const SENT: [(&str, &str, &str, &str, &str); 3] = [
    ("Node", "0ne00000001/registrations/ok-1", "1795408236", "M4Jphg4Atnj6QoCPfaTsneVZpAOor7cMaH45MLoIRnY=", "ok-1"),
    (
        "Python",
        "0ne00000001%2Fregistrations%2Fpok-py",
        "1795408411",
        "1p/pojs+DJTrl4d0Ix7KmzDUswKC3t0yDwxmoyzGEXs=",
        "pok-py",
    ),
    (
        "C",
        "0ne00000001%2fregistrations%2fcok-c-http",
        "1795407964",
        "3P91b5xXONtsvPIonvLjnK76lQtDty8FREEFOVH89zA=",
        "cok-c-http",
    ),
];

thread_local! {
    /// How many HMACs this thread has computed.
    pub(super) static TAGS: Cell<u64> = const { Cell::new(0) };
}

/// The cost of a stranger's token when a thousand groups have keys. HMACs are counted, because time depends on the
/// machine.
#[test]
fn a_token_costs_two_hmacs_for_each_key_of_a_group_and_four_where_the_id_has_capitals() {
    let keys: Vec<GroupKey> = (0..2_000_u16)
        .map(|number| {
            let mut bytes = [7; 64];
            bytes[..2].copy_from_slice(&number.to_be_bytes());
            GroupKey::new(&SymmetricKey::generate(bytes))
        })
        .collect();
    let signature = encoded(&STANDARD.encode([7; 32]));
    for (id, most) in [("pump-1", 4_000), ("Pump-1", 8_000)] {
        let token =
            format!("SharedAccessSignature sr=0ne00000001%2Fregistrations%2F{id}&sig={signature}&se=1795408236");
        let (token, id) = (SasToken::parse(&token).unwrap(), id.parse().unwrap());
        let before = TAGS.get();
        assert!(!keys.iter().any(|key| key.has_let_sign(&token, &id)));
        assert_eq!(TAGS.get() - before, most, "{id}");
    }
}

fn encoded(signature: &str) -> String {
    signature.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D")
}

#[test]
fn tokens_of_real_clients_are_read_and_verified() {
    let (key, scope) = (SymmetricKey::parse(KEY).unwrap(), "0ne00000001".parse().unwrap());
    for (client, sr, se, signature, id) in SENT {
        let (escaped, lower) = (encoded(signature), encoded(signature).to_lowercase());
        for text in [
            format!("SharedAccessSignature sr={sr}&sig={escaped}&se={se}&skn=registration"),
            format!("sharedaccesssignature se={se}&skn=&sr={sr}&sig={escaped}&future=1"),
            format!("SharedAccessSignature sr={sr}&sig={signature}&se={se}"),
        ] {
            let token = SasToken::parse(&text).unwrap();
            assert!(token.is_signed_by(&key), "{client}: {text}");
            assert!(token.is_for(&scope, &id.parse().unwrap()));
            assert!(token.is_for(&scope, &id.to_uppercase().parse().unwrap()));
            assert!(!token.is_for(&scope, &"another".parse().unwrap()));
            assert!(!token.is_for(&"0ne00000002".parse().unwrap(), &id.parse().unwrap()));
            assert_eq!(token.expires_at().as_secs().to_string(), se);
            assert!(!format!("{token:?}").contains(signature), "whoever has it can use it");
        }
        let other = SasToken::parse(&format!("SharedAccessSignature sr={sr}&sig={lower}&se={se}"));
        assert!(!other.is_ok_and(|token| token.is_signed_by(&key)), "a signature is told by its case");
        let later = SasToken::parse(&format!("SharedAccessSignature sr={sr}&sig={escaped}&se={se}0")).unwrap();
        assert!(!later.is_signed_by(&key), "its end is signed");
    }
}

#[test]
fn what_is_no_token_is_told_by_its_flaw() {
    let good = "sr=a&sig=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=&se=1";
    assert!(SasToken::parse(&format!("SharedAccessSignature {good}")).is_ok());
    let signature = "sig=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    for (text, flaw) in [
        (String::new(), TokenFlaw::Scheme),
        (good.to_owned(), TokenFlaw::Scheme),
        (format!("Bearer {good}"), TokenFlaw::Scheme),
        (format!("SharedAccessSignature  {good}"), TokenFlaw::Missing("sr")),
        ("SharedAccessSignature nothing".to_owned(), TokenFlaw::Part),
        (format!("SharedAccessSignature {good}&sr=b"), TokenFlaw::Repeated("sr")),
        (format!("SharedAccessSignature {good}&se=2"), TokenFlaw::Repeated("se")),
        (format!("SharedAccessSignature {good}&skn=owner"), TokenFlaw::Policy),
        (format!("SharedAccessSignature {signature}&se=1"), TokenFlaw::Missing("sr")),
        ("SharedAccessSignature sr=a&se=1".to_owned(), TokenFlaw::Missing("sig")),
        (format!("SharedAccessSignature sr=a&{signature}"), TokenFlaw::Missing("se")),
        (format!("SharedAccessSignature sr=%2&{signature}&se=1"), TokenFlaw::Percent("sr")),
        (format!("SharedAccessSignature sr=%ff&{signature}&se=1"), TokenFlaw::Percent("sr")),
        ("SharedAccessSignature sr=a&sig=AAAA&se=1".to_owned(), TokenFlaw::Signature),
        ("SharedAccessSignature sr=a&sig=!&se=1".to_owned(), TokenFlaw::Signature),
        (format!("SharedAccessSignature sr=a&{signature}&se=+1"), TokenFlaw::Expiry),
        (format!("SharedAccessSignature sr=a&{signature}&se="), TokenFlaw::Expiry),
        (format!("SharedAccessSignature sr=a&{signature}&se=99999999999999999999"), TokenFlaw::Expiry),
        (format!("SharedAccessSignature {}", "a".repeat(3000)), TokenFlaw::TooLong),
    ] {
        assert_eq!(SasToken::parse(&text).err(), Some(flaw), "{text}");
    }
}

#[test]
fn a_devices_key_is_derived_as_the_documentation_says() {
    let group = "8isrFI1sGsIlvvFSSFRiMfCNzv21fjbE/+ah/lSh3lF8e2YG1Te7w1KpZhJFFXJrqYKi9yegxkqIChbqOS9Egw==";
    let group = SymmetricKey::parse(group).unwrap();
    let device = group.derive("sn-007-888-abc-mac-a1-b2-c3-d4-e5-f6");
    assert_eq!(device.to_base64().expose(), "Jsm0lyGpjaVYVP2g3FnmnmG9dI/9qU24wNoykUmermc=");
    assert_ne!(group.fingerprint(), device.fingerprint());
    assert_eq!(format!("{group:?}"), "SymmetricKey");
}

#[test]
fn keys_have_16_to_64_bytes() {
    for (bytes, good) in [(0, false), (15, false), (16, true), (64, true), (65, false)] {
        assert_eq!(SymmetricKey::parse(&STANDARD.encode(vec![7; bytes])).is_ok(), good, "{bytes}");
    }
    assert!(SymmetricKey::parse(&KEY.replace('=', "")).is_err(), "padding is part of it");
    assert!(SymmetricKey::parse(&format!(" {KEY}\n")).is_ok());
}

proptest! {
    #[test]
    fn any_text_is_a_token_or_has_a_flaw(text in ".{0,300}", parts in "(sr|sig|se|skn)=[%+/=A-Fa-f0-9&]{0,60}") {
        let _ = SasToken::parse(&text);
        let _ = SasToken::parse(&format!("SharedAccessSignature {parts}"));
    }

    #[test]
    fn only_the_devices_own_key_has_signed(group in prop::array::uniform32(any::<u8>()), id in "[a-z][A-Za-z0-9-]{0,20}[a-z]") {
        let group = SymmetricKey::of_bytes(Zeroizing::new(group.to_vec())).unwrap();
        let resource = format!("0ne1/registrations/{id}");
        let tokens = [id.clone(), id.to_lowercase()].map(|from| {
            let signed = group.derive(&from).sign(format!("{resource}\n5").as_bytes());
            let signature = encoded(&STANDARD.encode(signed));
            SasToken::parse(&format!("SharedAccessSignature sr={resource}&sig={signature}&se=5")).unwrap()
        });
        let id: RegistrationId = id.parse().unwrap();
        for token in &tokens {
            prop_assert!(GroupKey::new(&group).has_let_sign(token, &id));
            prop_assert!(!token.is_signed_by(&group), "the group's own key is no device's");
            prop_assert!(!GroupKey::new(&group).has_let_sign(token, &"another".parse().unwrap()) || id.key() == "another");
        }
    }
}

/// Project Wycheproof's codes, for those of its keys that are valid keys here.
#[test]
fn codes_are_those_of_the_standard() {
    let text = include_str!("../../../../tests/vectors/wycheproof/hmac_sha256_test.json");
    let cases: serde_json::Value = serde_json::from_str(text).unwrap();
    let bytes = |value: &serde_json::Value| -> Vec<u8> {
        let digits = value.as_str().unwrap();
        (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
    };
    let (mut right, mut wrong) = (0, 0);
    for group in cases["testGroups"].as_array().unwrap() {
        for case in group["tests"].as_array().unwrap() {
            let key = bytes(&case["key"]);
            let Ok(key) = SymmetricKey::of_bytes(Zeroizing::new(key.clone())) else {
                assert!(!(16..=64).contains(&key.len()));
                continue;
            };
            let (signed, tag) = (key.sign(&bytes(&case["msg"])), bytes(&case["tag"]));
            let same = signed.as_ref().starts_with(&tag);
            assert_eq!(same, case["result"] == "valid", "{case}");
            *(if same { &mut right } else { &mut wrong }) += 1;
        }
    }
    assert!(right > 50 && wrong > 50, "{right} {wrong}");
}
