"""Un importateur en quarante lignes : `python importateur.py URL CLIENT_ID CLE.pem DOSSIER` (requests, PyJWT, cryptography).

DOSSIER existe déjà. À relancer aussi souvent que voulu, et après toute coupure : rien n'est perdu ni pris deux fois.
"""

import contextlib
import json
import sys
import time
import uuid
from pathlib import Path

import jwt
import requests

BASE, CLIENT, KEY, PLACE = sys.argv[1], sys.argv[2], Path(sys.argv[3]).read_text(), Path(sys.argv[4])
TOKEN, START, STATE, session = f"{BASE}/auth/token", "DocumentReference/$sync", PLACE / "dossier.json", requests.Session()
held = json.loads(STATE.read_text()) if STATE.exists() else {"next": START, "documents": {}}


def sign_in():
    """SMART Backend Services : une assertion signée (cinq minutes au plus, un jti neuf) contre un jeton."""
    claims = {"iss": CLIENT, "sub": CLIENT, "aud": TOKEN, "exp": int(time.time()) + 240, "jti": str(uuid.uuid4())}
    asked = {"grant_type": "client_credentials", "client_assertion": jwt.encode(claims, KEY, "ES384", {"kid": CLIENT})}
    asked |= {"scope": "system/*.cruds", "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"}
    session.headers["Authorization"] = f"Bearer {session.post(TOKEN, asked, timeout=30).json()['access_token']}"


def call(method, path, **more):
    """Un appel, repris autant qu'il faut : jeton périmé, trop d'appels, panne, coupure."""
    for wait in (0, 1, 2, 4, 8):
        time.sleep(wait)
        with contextlib.suppress(requests.RequestException):
            answer = session.request(method, f"{BASE}/{path}", timeout=60, **more)
            if answer.status_code == 401:
                sign_in()
            elif answer.status_code not in (429, 500, 503):
                return answer
    return sys.exit("le service ne répond pas : relancer plus tard")


def take(document):
    """Un document du flux : le classer, le remplacer ou le retirer ; puis rendre l'issue."""
    name = document["masterIdentifier"]["value"]
    for old in [relation["target"]["identifier"]["value"] for relation in document.get("relatesTo", [])] + [name]:
        held["documents"].pop(old, None)  # l'ancienne version, ou l'ancien état, quitte le dossier du patient
    if document["status"] == "current":  # sinon annulé (entered-in-error) ou remplacé (superseded) : rien à classer
        content = call("GET", document["content"][0]["attachment"]["url"])
        if content.status_code == 410:  # remplacé ou annulé entre-temps : la suite du flux le dira
            return
        content.raise_for_status()
        (PLACE / f"{document['id']}.xml").write_bytes(content.content)
        held["documents"][name] = {"file": f"{document['id']}.xml", "visible": document["securityLabel"]}  # qui peut le voir
    said = {"resourceType": "Parameters", "parameter": [{"name": "outcome", "valueCode": "integrated"}]}
    call("POST", f"DocumentReference/{document['id']}/$acknowledge", json=said)


links = {"next": ""}
while "next" in links:
    page = call("GET", held["next"])
    page = call("GET", START) if page.status_code == 410 else page  # curseur refusé : repartir du début, rien ne se perd
    for entry in page.json().get("entry", []):
        take(entry["resource"])
    links = {link["relation"]: link["url"] for link in page.json()["link"]}
    held["next"] = links["sync"].removeprefix(f"{BASE}/")
    STATE.write_text(json.dumps(held, indent=1))  # le curseur n'avance qu'une fois la page classée
