//! Encodings and hashes.

use base64::Engine as _;
use base64::alphabet::URL_SAFE;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use cel::ExecutionError;
use cel::common::types::{CelBytes, CelString};
use cel::common::value::CowVal;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::super::limits;
use super::super::value::{Budget, into_cel, to_json};
use super::{Answer, Call};

/// Base64 for URLs (RFC 4648, section 5): written without padding, as tokens have it, and read with or without.
const BASE64URL: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new().with_encode_padding(false).with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// `json(value)`: compact JSON text, keys sorted.
pub(in super::super) fn json<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Answer<'b, 'v> {
    let call = Call::begin("json", &args)?;
    let value = call.arg(0).ok_or_else(|| call.unsupported())?;
    let budget = Budget::new(limits::RESULT_BYTES, "the size of the value");
    let text = to_json(value, &budget).map_err(|error| call.error(error.to_string()))?.to_string();
    call.answer_of(text.len())?;
    call.give(text)
}

/// `fromJson(text)`: what the text says.
pub(in super::super) fn from_json<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Answer<'b, 'v> {
    let call = Call::begin("fromJson", &args)?;
    // The text of the error would show a part of the value.
    let value: Value = serde_json::from_str(call.text(0)?).map_err(|_| call.error("the text is not JSON"))?;
    let budget = Budget::new(limits::RESULT_BYTES, "the size of the value");
    let value = into_cel(value, &budget).map_err(|error| call.error(error.to_string()))?;
    call.work(budget.spent())?;
    Ok(CowVal::Owned(value))
}

/// `base64url(value)`: of a string its UTF-8.
pub(in super::super) fn base64url<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Answer<'b, 'v> {
    let call = Call::begin("base64url", &args)?;
    let bytes = bytes(&call)?;
    call.answer_of(bytes.len() / 3 * 4 + 4)?;
    call.give(BASE64URL.encode(bytes))
}

/// `fromBase64url(text)`: the text that was encoded, which has to be UTF-8.
pub(in super::super) fn from_base64url<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Answer<'b, 'v> {
    let call = Call::begin("fromBase64url", &args)?;
    let text = call.text(0)?;
    call.answer_of(text.len())?;
    let bytes = BASE64URL.decode(text).map_err(|_| call.error("the text is not base64url"))?;
    call.give(String::from_utf8(bytes).map_err(|_| call.error("what is encoded is not text"))?)
}

/// `sha256(value)`: 64 hex digits; of a string the hash of its UTF-8.
pub(in super::super) fn sha256<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Answer<'b, 'v> {
    let call = Call::begin("sha256", &args)?;
    let hash = Sha256::digest(bytes(&call)?);
    call.give(hash.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn bytes<'a>(call: &Call<'a, '_, '_>) -> Result<&'a [u8], ExecutionError> {
    let value = call.arg(0).ok_or_else(|| call.unsupported())?;
    match (value.downcast_ref::<CelString>(), value.downcast_ref::<CelBytes>()) {
        (Some(text), _) => Ok(text.inner().as_bytes()),
        (None, Some(bytes)) => Ok(bytes.inner()),
        (None, None) => Err(call.unsupported()),
    }
}
