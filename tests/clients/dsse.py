# securesystemslib: makes and checks DSSE envelopes. Which, it is told as JSON on stdin; what came of it, it tells as JSON on
# stdout.
import hashlib
import json
import sys

from cryptography.hazmat.primitives import serialization
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import VerificationError
from securesystemslib.signer import CryptoSigner, SSlibKey

asked = json.load(sys.stdin)
with open(asked["key"], "rb") as file:
    pem = file.read()


def known(public):
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    spki = public.public_bytes(serialization.Encoding.DER, form)
    return SSlibKey.from_crypto(public, keyid=hashlib.sha256(spki).hexdigest())


if asked["do"] == "sign":
    private = serialization.load_pem_private_key(pem, None)
    key = known(private.public_key())
    envelope = Envelope(json.dumps(asked["statement"]).encode(), "application/vnd.in-toto+json", {})
    envelope.sign(CryptoSigner(private, key))
    answer = {"envelope": envelope.to_dict(), "keyid": key.keyid}
else:
    envelope = Envelope.from_dict(asked["envelope"])
    try:
        envelope.verify([known(serialization.load_pem_public_key(pem))], 1)
        answer = {"verified": True, "statement": json.loads(envelope.payload)}
    except VerificationError as error:
        answer = {"verified": False, "why": str(error)}

json.dump(answer, sys.stdout)
