"""The Aito stand-in's evaluations are true figures of a small model, and its jobs behave like
jobs.
"""

import math
import random
import time
from collections.abc import Iterator
from typing import Any

import aito.v1.api as sdk
import pytest
import requests
from aito.v1 import AitoClient
from aito.v1.requests import EvaluateRequest

from local.aito.server import KEY, READ_ONLY_KEY, Aito

HEADERS = {"x-api-key": KEY}
PAGES: dict[str, Any] = {
    "id": {"type": "Int"},
    "user": {"type": "String", "link": "users.id"},
    "path": {"type": "String"},
    "title": {"type": "Text"},
    "source": {"type": "String", "nullable": True},
    "noise": {"type": "String"},
}
EVALUATION = {
    "test": {"$index": {"$mod": [10, 0]}},
    "evaluate": {"from": "pages", "where": {"path": {"$get": "path"}}, "predict": "source"},
}


@pytest.fixture(scope="module")
def server() -> Iterator[Aito]:
    """Pages whose source follows from path, title words and the user's device, three times of
    four.
    """
    dice = random.Random(1)
    with Aito() as aito:
        aito.create_table("users", {"id": {"type": "String"}, "device": {"type": "String"}})
        aito.create_table("pages", PAGES)
        aito.insert("users", [{"id": f"u{n}", "device": "abc"[n]} for n in range(3)])
        aito.insert("pages", [_page(n, dice) for n in range(1000)])
        yield aito


@pytest.fixture
def aito(server: Aito) -> Iterator[Aito]:
    server.reset_stats()
    yield server
    server.heal()
    server.job_seconds, server.job_result_seconds = 0, 900
    server.switches.reset()
    server.lose_jobs()


def _page(n: int, dice: random.Random) -> dict[str, Any]:
    kind = dice.randrange(3)
    source = (
        ["ads", "mail", None][kind] if dice.random() < 0.75 else dice.choice(["ads", "mail", None])
    )
    title = f"All about {['shoes', 'hats', 'socks'][kind]} {dice.randrange(50)}"
    return {
        "id": n,
        "user": f"u{kind}",
        "path": f"/{kind}",
        "title": title,
        "source": source,
        "noise": dice.choice("xyz"),
    }


def evaluate(aito: Aito, **body: Any) -> Any:
    return post(aito, "_evaluate", {**EVALUATION, **body}).json()


def given(*fields: str) -> dict[str, Any]:
    return {
        "from": "pages",
        "where": {field: {"$get": field} for field in fields},
        "predict": "source",
    }


def post(aito: Aito, path: str, body: Any) -> requests.Response:
    return requests.post(f"{aito.url}/api/v1/{path}", json=body, headers=HEADERS, timeout=10)


def get(aito: Aito, path: str) -> requests.Response:
    return requests.get(f"{aito.url}/api/v1/{path}", headers=HEADERS, timeout=10)


@pytest.mark.parametrize("field", ["path", "title", "user", "user.device"])
def test_a_relation_is_learnt(aito: Aito, field: str) -> None:
    """By a plain field, by the words of a text, and over a link: well above the base."""
    answer = evaluate(aito, evaluate=given(field))
    assert answer["accuracy"] > 0.75
    assert answer["baseAccuracy"] < 0.5
    assert answer["accuracyGain"] == pytest.approx(answer["accuracy"] - answer["baseAccuracy"])
    assert answer["informationGain"] > 0.3


def test_noise_is_not(aito: Aito) -> None:
    """Where there is nothing to learn the gain is about nothing."""
    assert abs(evaluate(aito, evaluate=given("noise"))["accuracyGain"]) < 0.1


def test_figures_hang_together(aito: Aito) -> None:
    """The answer's figures agree with its cases, one by one."""
    answer = evaluate(aito)
    cases = answer["cases"]
    assert (answer["n"], answer["testSamples"], answer["trainSamples"]) == (100, 100, 900.0)
    assert answer["accuracy"] == sum(case["accurate"] for case in cases) / 100
    assert answer["error"] == pytest.approx(1 - answer["accuracy"])
    assert answer["accurateOffsets"] == [case["offset"] for case in cases if case["accurate"]]
    assert (
        len(answer["errorCases"])
        == len(answer["errorOffsets"])
        == 100 - len(answer["accurateCases"])
    )
    logs = [math.log2(case["correct"]["$p"]) for case in cases]
    assert answer["geomMeanP"] == pytest.approx(2 ** (sum(logs) / 100))
    assert answer["geomMeanLift"] == pytest.approx(answer["geomMeanP"] / answer["baseGmp"])
    assert sum(each["n"] for each in answer["alpha_binByTopScore"]) == 100
    assert answer["meanRank"] < answer["baseMeanRank"]
    assert type(answer["testSamples"]) is int
    assert type(answer["trainSamples"]) is type(answer["features"]) is float


def test_it_says_whose_predictions_these_are(aito: Aito) -> None:
    """A field and a header of the answer name the stand-in."""
    answer = post(aito, "_evaluate", EVALUATION)
    assert "not Aito's" in answer.json()["note"]
    assert answer.headers["x-stand-in"] == "not Aito"


def test_test_rows_are_held_out(aito: Aito) -> None:
    """A row's own answer is no evidence: a field that only names the row teaches nothing."""
    answer = evaluate(aito, evaluate=given("id"))
    assert answer["accuracy"] == answer["baseAccuracy"]


def test_train_on_older_test_on_newer(aito: Aito) -> None:
    """`train` narrows the training rows; test rows never count among them."""
    answer = evaluate(aito, test={"id": {"$gte": 900}}, train={"id": {"$gte": 500}})
    assert (answer["testSamples"], answer["trainSamples"]) == (100, 400.0)


def test_test_source_takes_the_head(aito: Aito) -> None:
    """`testSource` with a limit takes the first rows of the table."""
    body = {
        "testSource": {"from": "pages", "where": {}, "limit": 7},
        "evaluate": given("path"),
        "select": ["cases"],
    }
    answer = post(aito, "_evaluate", body).json()
    assert list(answer) == ["cases"]
    assert [case["offset"] for case in answer["cases"]] == list(range(7))


def test_figures_that_do_not_exist_are_words(aito: Aito) -> None:
    """A value never seen in training makes h, baseGmp and geomMeanLift the string NaN; no test row
    makes all.
    """
    answer = evaluate(aito, train={"source": "ads"})
    assert {answer[name] for name in ("h", "baseGmp", "geomMeanLift", "informationGain")} == {"NaN"}
    assert answer["accuracy"] < 1
    empty = evaluate(aito, test={"id": -1})
    assert (empty["testSamples"], empty["accuracy"], empty["h"]) == (0, "NaN", "NaN")
    untrained = evaluate(aito, train={"id": -1})
    assert (untrained["trainSamples"], untrained["accuracy"]) == (0.0, 0.0)


@pytest.mark.parametrize(
    "body",
    [
        {},
        [],
        {"evaluate": EVALUATION["evaluate"]},
        {**EVALUATION, "evaluate": {"from": "pages"}},
        {**EVALUATION, "evaluate": given("colour")},
        {**EVALUATION, "evaluate": {**given("path"), "predict": "colour"}},
        {**EVALUATION, "test": {"colour": 1}},
        {**EVALUATION, "evaluate": {**given("path"), "from": "none"}},
    ],
)
def test_wrong_evaluations(aito: Aito, body: Any) -> None:
    """A body that cannot be evaluated is a 400 with a message."""
    answer = post(aito, "_evaluate", body)
    assert answer.status_code == 400
    assert answer.json()["message"]


def test_the_sdk_reads_it(aito: Aito) -> None:
    """The SDK's response class finds what it looks for."""
    answer = AitoClient(aito.url, KEY).request(request_obj=EvaluateRequest(EVALUATION))
    assert answer.accuracy > 0.7
    assert (answer.test_sample_count, answer.train_sample_count) == (100, 900)


def test_predict(aito: Aito) -> None:
    """Values by probability, which add up to one."""
    answer = post(
        aito, "_predict", {"from": "pages", "where": {"path": "/0"}, "predict": "source"}
    ).json()
    assert answer["hits"][0]["feature"] == "ads"
    assert sum(hit["$p"] for hit in answer["hits"]) == pytest.approx(1)


# -- jobs


def test_a_job_through_the_sdk(aito: Aito) -> None:
    """Start, status, result: the result is what the call itself would have answered."""
    client = AitoClient(aito.url, KEY)
    job = sdk.create_job(client, job_endpoint="/api/v1/jobs/_evaluate", query=EVALUATION)
    _until(lambda: sdk.get_job_status(client, job.id).finished)
    direct = evaluate(aito)
    result = get(aito, f"jobs/{job.id}/result").json()
    assert result["accuracy"] == direct["accuracy"]
    assert job.started_at.endswith("Z")


def test_a_job_takes_its_time(aito: Aito) -> None:
    """Until `job_seconds` are over there is no finishedAt and no result."""
    aito.job_seconds = 60
    job = post(aito, "jobs/_evaluate", EVALUATION).json()
    assert set(job) == {"id", "path", "startedAt"}
    assert set(get(aito, f"jobs/{job['id']}").json()) == {"id", "path", "startedAt"}
    assert get(aito, f"jobs/{job['id']}/result").status_code == 404
    aito.job_seconds = 0
    _until(lambda: "finishedAt" in get(aito, f"jobs/{job['id']}").json())
    assert get(aito, f"jobs/{job['id']}/result").status_code == 200


def test_results_expire_and_jobs_get_lost(aito: Aito) -> None:
    """After its time a result is gone; a lost job is unknown altogether."""
    aito.job_result_seconds = -1
    job = post(aito, "jobs/_evaluate", EVALUATION).json()["id"]
    _until(lambda: "finishedAt" in get(aito, f"jobs/{job}").json())
    assert get(aito, f"jobs/{job}/result").status_code == 404
    assert aito.lose_jobs() == 1
    assert get(aito, f"jobs/{job}").status_code == 404


@pytest.mark.parametrize(("told", "statuses"), [("hidden", (500, 500)), ("told", (500, 400))])
def test_jobs_fail(aito: Aito, told: Any, statuses: tuple[int, int]) -> None:
    """By order, or because the call itself is refused. Recorded: the same 500 either way."""
    aito.switches.failed_jobs = told
    aito.fail_jobs()
    bodies = (EVALUATION, {**EVALUATION, "test": {"colour": 1}})
    for body, status in zip(bodies, statuses, strict=True):
        job = post(aito, "jobs/_evaluate", body).json()["id"]
        _until(lambda job=job: "finishedAt" in get(aito, f"jobs/{job}").json())
        assert "expiresAt" not in get(aito, f"jobs/{job}").json()
        assert get(aito, f"jobs/{job}/result").status_code == status


def test_data_jobs_need_the_read_write_key(aito: Aito) -> None:
    """A delete as a job is a write; an evaluation is not."""
    read_only = {"x-api-key": READ_ONLY_KEY}
    delete = {"from": "pages", "where": {"id": -1}}
    start = f"{aito.url}/api/v1/jobs"
    assert (
        requests.post(
            f"{start}/data/_delete", json=delete, headers=read_only, timeout=5
        ).status_code
        == 401
    )
    assert (
        requests.post(
            f"{start}/_evaluate", json=EVALUATION, headers=read_only, timeout=5
        ).status_code
        == 201
    )
    job = post(aito, "jobs/data/_delete", delete).json()["id"]
    _until(lambda: get(aito, f"jobs/{job}/result").status_code == 200)
    assert get(aito, f"jobs/{job}/result").json() == {"total": 0}
    assert aito.stats()["delete.job"].writes == 2


def test_job_faults_by_step(aito: Aito) -> None:
    """Start, status and result can each be made to fail alone."""
    aito.fail("bad_gateway", on="job.result")
    job = post(aito, "jobs/_evaluate", EVALUATION).json()["id"]
    _until(lambda: "finishedAt" in get(aito, f"jobs/{job}").json())
    assert [get(aito, f"jobs/{job}/result").status_code for _ in range(2)] == [502, 200]


def _until(true: Any) -> None:
    deadline = time.monotonic() + 5
    while not true() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert true()


def test_train_and_test_are_honoured_exactly(aito: Aito) -> None:
    """`$and` with ranges and `$index` picks the rows that it says, and no others are learned."""
    tested = {"$and": [{"id": {"$gte": 900}}, {"id": {"$lt": 990}}, {"$index": {"$mod": [4, 1]}}]}
    learned = {"$and": [{"id": {"$gte": 600}}, {"id": {"$lt": 900}}, {"path": "/1"}]}
    answer = evaluate(aito, test=tested, train=learned)
    offsets = sorted([*answer["accurateOffsets"], *answer["errorOffsets"]])
    assert offsets == [place for place in range(900, 990) if place % 4 == 1]
    where = {"from": "pages", "where": learned, "limit": 0}
    assert answer["trainSamples"] == post(aito, "_search", where).json()["total"]
    again = evaluate(aito, test=tested, train={"id": {"$lt": 900}})
    assert sorted([*again["accurateOffsets"], *again["errorOffsets"]]) == offsets
    assert again["accuracy"] > answer["accuracy"]
