//! Answers of STS, honest and forged.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};

use super::*;

const HONEST: &str = "<GetCallerIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\n  <GetCallerIdentityResult>\n    \
     <Arn>arn:aws:iam::123456789012:user/bob</Arn>\n    <UserId>AIDA1</UserId>\n    <Account>123456789012</Account>\n  \
     </GetCallerIdentityResult>\n  <ResponseMetadata><RequestId>r</RequestId></ResponseMetadata>\n</GetCallerIdentityResponse>\n";

fn answer(status: u16, content_type: &'static str, body: &str) -> Relayed {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    Relayed { status: StatusCode::from_u16(status).unwrap(), headers, body: Bytes::from(body.to_owned()) }
}

fn rule(body: &str) -> &'static str {
    match read(&answer(200, "text/xml", body)) {
        Err(Unread::Invalid(_, rule)) => rule,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_honest_answer_names_the_caller() {
    let bob = Identity {
        arn: "arn:aws:iam::123456789012:user/bob".to_owned(),
        user_id: "AIDA1".to_owned(),
        account: "123456789012".to_owned(),
    };
    assert_eq!(read(&answer(200, "text/xml", HONEST)).unwrap(), bob);
    let declared = format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n{HONEST}");
    assert_eq!(read(&answer(200, "text/xml", &declared)).unwrap(), bob);
    let escaped = HONEST.replace("user/bob", "user/b&amp;b");
    assert_eq!(read(&answer(200, "text/xml", &escaped)).unwrap().arn, "arn:aws:iam::123456789012:user/b&b");
}

#[test]
fn a_forged_answer_is_refused_by_the_rule_it_breaks() {
    let result = HONEST.split("<GetCallerIdentityResult>").nth(1).unwrap().split("</GetCallerIdentityResult>").next().unwrap();
    let result = format!("<GetCallerIdentityResult>{result}</GetCallerIdentityResult>");
    for (body, expected) in [
        (format!("junk{HONEST}"), "it is no GetCallerIdentityResponse"),
        (String::new(), "it is no GetCallerIdentityResponse"),
        ("<!DOCTYPE x><GetCallerIdentityResponse>".to_owned(), "it is no GetCallerIdentityResponse"),
        (format!("<?xml version=\"1.0\"?><!DOCTYPE x>{HONEST}"), "something stands before its root"),
        (format!("<?xml version=\"1.0\"?>junk{HONEST}"), "something stands before its root"),
        (format!("{HONEST}<x/>"), "something stands behind its root"),
        (format!("{HONEST}junk"), "something stands behind its root"),
        (HONEST.replace("<ResponseMetadata>", &format!("{result}<ResponseMetadata>")), "it names something twice"),
        (
            HONEST.replace("<ResponseMetadata>", "<GetCallerIdentityResult></GetCallerIdentityResult><ResponseMetadata>"),
            "it has not exactly one result",
        ),
        (HONEST.replace("<UserId>", "<Arn>x</Arn><UserId>"), "it names something twice"),
        (HONEST.replace(" xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"", ""), "its namespace is not that of STS"),
        (HONEST.replace("2011-06-15", "2010-05-08"), "its namespace is not that of STS"),
        (HONEST.replace("<Arn>", "<Arn xmlns=\"x\">"), "it has attributes"),
        (HONEST.replace("<GetCallerIdentityResult>", "<GetCallerIdentityResult a=\"b\">"), "it has attributes"),
        (HONEST.replace("user/bob", "user/&bob;"), "it uses entities"),
        (HONEST.replace("user/bob", "user/&#98;ob"), "it uses entities"),
        (HONEST.replace("user/bob", "<![CDATA[x]]>"), "it holds more than elements and text"),
        (HONEST.replace("user/bob", "<!-- x -->bob"), "it holds more than elements and text"),
        (HONEST.replace("<ResponseMetadata>", "junk<ResponseMetadata>"), "text stands between its elements"),
        (HONEST.replace("<UserId>AIDA1</UserId>", ""), "it does not name ARN, user id and account"),
        (HONEST.replace("AIDA1", ""), "it does not name ARN, user id and account"),
        (HONEST.replace("GetCallerIdentityResponse", "GetCallerIdentityResponsex"), "its root is not GetCallerIdentityResponse"),
        (HONEST.replace("Result>", "ResultX>"), "it has not exactly one result"),
        (HONEST.replace("<Arn>", "<s:Arn>").replace("</Arn>", "</s:Arn>"), "it uses prefixes of namespaces"),
        (HONEST.replace("</GetCallerIdentityResponse>", ""), "it ends too early"),
        (HONEST.replace("</Arn>", "</Bar>"), "it is not well-formed XML"),
        (HONEST.replace("<UserId>", "<a><b><c><d>x</d></c></b></a><UserId>"), "it is nested too deeply"),
    ] {
        assert_eq!(rule(&body), expected, "{body}");
    }
}

#[test]
fn what_is_not_xml_by_its_own_word_is_not_read() {
    for content_type in ["text/html", "application/json", "application/xml", "text/xml; charset=utf-8", "text/xml2", ""] {
        let error = read(&answer(200, content_type, HONEST)).unwrap_err();
        assert_eq!(error, Unread::Invalid("body of GetCallerIdentity is invalid", "its content type is not text/xml"));
    }
    let mut twice = answer(200, "text/xml", HONEST);
    twice.headers.append(header::CONTENT_TYPE, HeaderValue::from_static("text/html"));
    assert!(read(&twice).is_err());
    let mut packed = answer(200, "text/xml", HONEST);
    packed.headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    assert!(read(&packed).is_err());
}

#[test]
fn a_refusal_is_told_by_its_code() {
    let body = "<ErrorResponse xmlns=\"x\"><Error><Type>Sender</Type><Code>ExpiredToken</Code><Message>It&apos;s over</Message></Error>\
                <RequestId>r</RequestId></ErrorResponse>";
    let Err(Unread::Refused(status, error)) = read(&answer(403, "text/xml", body)) else { panic!() };
    assert_eq!((status.as_u16(), error.code.as_str(), error.message.as_str()), (403, "ExpiredToken", "It's over"));
    assert_eq!(error.request_id, "r");
    // An honest body under another status is no identity.
    assert!(matches!(read(&answer(302, "text/xml", HONEST)), Err(Unread::Refused(..))));
}

#[test]
fn an_error_under_200_is_no_identity() {
    let body = "<?xml version=\"1.0\"?><ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><Error><Code>x</Code></Error></ErrorResponse>";
    assert_eq!(rule(body), "its root is not GetCallerIdentityResponse");
}
