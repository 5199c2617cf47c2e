//! Containers that are good, and all the ways in which one is not.

use super::super::notary::{Notary, Style, document, encoded, with_open_lengths};
use super::super::signer::Anchor;
use super::*;

const NOW: &str = "2026-01-01T00:00:00Z";

fn anchor(notary: &Notary) -> Anchor {
    Anchor::from_pem(&notary.pem()).unwrap()
}

fn text() -> String {
    document("i-0a", "ami-1", NOW)
}

fn read(notary: &Notary, field: &str) -> Result<Vec<u8>, Pkcs7Error> {
    let anchors = [anchor(&Notary::dsa(9)), anchor(notary)];
    verified(field, anchors.iter())
}

fn styled(notary: &Notary, style: &Style) -> Result<Vec<u8>, Pkcs7Error> {
    read(notary, &encoded(&notary.container(text().as_bytes(), style)))
}

#[test]
fn documents_signed_by_dsa_and_by_rsa_are_read() {
    for notary in [Notary::dsa(1), Notary::rsa(2), Notary::another_rsa(3)] {
        assert_eq!(read(&notary, &notary.pkcs7(&text())).unwrap(), text().as_bytes());
        for (sha1, attributes) in [(true, true), (true, false), (false, true), (false, false)] {
            assert!(styled(&notary, &Style { attributes, sha1, ..Style::default() }).is_ok(), "{sha1} {attributes}");
        }
    }
}

#[test]
fn the_lines_of_pem_and_open_lengths_make_no_difference() {
    let notary = Notary::rsa(1);
    let field = notary.pkcs7(&text());
    for field in [
        format!("-----BEGIN PKCS7-----\n{field}\n-----END PKCS7-----\n"),
        field.replace('\n', ""),
        encoded(&with_open_lengths(&notary.container(text().as_bytes(), &Style::default()))),
    ] {
        assert_eq!(read(&notary, &field).unwrap(), text().as_bytes());
    }
}

#[test]
fn a_changed_document_is_noticed() {
    for notary in [Notary::dsa(1), Notary::rsa(2)] {
        let tampered = Some(text().replace("i-0a", "i-0b").into_bytes());
        for attributes in [true, false] {
            let error = styled(&notary, &Style { attributes, tampered: tampered.clone(), ..Style::default() }).unwrap_err();
            assert!(matches!(error, Pkcs7Error::Signature(_)), "{error}");
        }
    }
}

#[test]
fn certificates_that_come_along_count_for_nothing() {
    // The attacker names issuer and serial number of the one who is trusted, and brings his own certificate.
    let (trusted, attacker) = (Notary::rsa(7), Notary::another_rsa(7));
    let style = Style { embedded: Some(attacker.certificate().clone()), ..Style::default() };
    let field = encoded(&attacker.container(text().as_bytes(), &style));
    assert_eq!(read(&trusted, &field), Err(Pkcs7Error::Signature("the signature is wrong")));
    let stranger = Notary::another_rsa(8);
    let field = encoded(&stranger.container(text().as_bytes(), &Style::default()));
    let error = read(&trusted, &field).unwrap_err();
    assert_eq!(error, Pkcs7Error::Unknown(text().into_bytes()));
    assert_eq!(error.to_string(), "failed to verify the signature: pkcs7: No certificate for signer");
    // One that is trusted may come along.
    let style = Style { embedded: Some(trusted.certificate().clone()), ..Style::default() };
    assert!(styled(&trusted, &style).is_ok());
}

#[test]
fn there_is_exactly_one_signer() {
    for signers in [0, 2] {
        let error = styled(&Notary::rsa(1), &Style { signers, ..Style::default() }).unwrap_err();
        assert_eq!(error, Pkcs7Error::Signature("there is not exactly one signer"));
    }
}

#[test]
fn attributes_are_of_the_content() {
    let signed_data = "1.2.840.113549.1.7.2";
    let error = styled(&Notary::rsa(1), &Style { content_type: signed_data, ..Style::default() }).unwrap_err();
    assert_eq!(error, Pkcs7Error::Signature("the content type is not the content's"));
    for seconds in [1_500_000_000, 2_040_000_000] {
        let error = styled(&Notary::rsa(1), &Style { signing_time: Some(seconds), ..Style::default() }).unwrap_err();
        assert!(error.to_string().contains("signing time"), "{error}");
    }
    assert!(styled(&Notary::rsa(1), &Style { signing_time: None, ..Style::default() }).is_ok());
}

#[test]
fn what_is_no_container_is_refused_in_the_known_words() {
    let notary = Notary::rsa(1);
    let empty = notary.container(b"", &Style::default());
    for (field, text) in [
        ("%%%".to_owned(), "failed to decode the PEM encoded PKCS#7 signature"),
        (encoded(b"junk"), "failed to parse the BER encoded PKCS#7 signature: "),
        (encoded(&[0x30, 0x80].repeat(500)), "failed to parse the BER encoded PKCS#7 signature: nested too deeply"),
        (encoded(&empty), "instance identity document could not be found in the signature"),
        ("A".repeat(200_000), "failed to parse the BER encoded PKCS#7 signature: too large"),
    ] {
        let error = read(&notary, &field).unwrap_err().to_string();
        assert!(error.starts_with(text), "{error}");
    }
}

#[test]
fn no_byte_of_a_container_can_be_changed_to_make_another_document() {
    let notary = Notary::rsa(1);
    let der = notary.container(text().as_bytes(), &Style::default());
    let anchors = [anchor(&notary)];
    for place in 0..der.len() {
        let mut changed = der.clone();
        changed[place] ^= 0x41;
        if let Ok(content) = verified(&encoded(&changed), anchors.iter()) {
            assert_eq!(content, text().as_bytes(), "byte {place}");
        }
    }
}
