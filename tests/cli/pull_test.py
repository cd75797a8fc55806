"""`gemma4 pull` against a local server: never the network."""

import json
import os
import pty
import resource
import shutil
import signal
import subprocess
import unittest

import support
from hub_server import COMMIT, Hub
from support import BINARY, CliTest

WEIGHTS = bytes(range(256)) * 4096  # 1 MiB
TOKEN = "hf_secretsecretsecret"


class PullTest(CliTest):
    def setUp(self):
        self.hub = Hub({"config.json": b"{}", "weights.safetensors": WEIGHTS},
                       large=["weights.safetensors"])
        self.addCleanup(self.hub.close)
        self.cache = self.path(self.id())
        self.repository = os.path.join(self.cache, "models--org--model")
        self.env = self.surroundings()

    def surroundings(self, **changes):
        return support.environment(self.folder, HF_HUB_CACHE=self.cache, HF_ENDPOINT=self.hub.url,
                                   HF_HOME=os.path.join(self.cache, "home"), no_proxy="*",
                                   **changes)

    def pull(self, *arguments, **options):
        return self.command("pull", "org/model", *arguments, **options)

    def pull_ok(self, *arguments, **options):
        done = self.pull(*arguments, **options)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout.decode()

    def pull_fails(self, code, *arguments, says="", **options):
        done = self.pull(*arguments, **options)
        message = done.stderr.decode()
        self.assertEqual((done.returncode, done.stdout), (code, b""), message)
        self.assertRegex(message, r"\A(gemma4: warning: [^\n]+\n)*gemma4: [^\n]+\n\Z")
        self.assertIn(says, message)
        self.assert_absent()

    def inside(self, *names):
        return os.path.join(self.repository, *names)

    def blob(self, name):
        return self.inside("blobs", self.hub.digest(name))

    def content(self, name):
        with open(self.inside("snapshots", COMMIT, name), "rb") as file:
            return file.read()

    def assert_absent(self):
        self.assertFalse(os.path.lexists(self.inside("snapshots", COMMIT)))
        self.assertFalse(os.path.lexists(self.inside("refs", "main")))

    def assert_complete(self):
        for name, content in self.hub.files.items():
            self.assertEqual(self.content(name), content, name)
        with open(self.inside("refs", "main"), encoding="ascii") as file:
            self.assertEqual(file.read(), COMMIT)
        leftovers = [name for name in os.listdir(self.inside("blobs")) if "." in name]
        self.assertEqual(leftovers, [])

    def leave_partial(self, name, content):
        os.makedirs(self.inside("blobs"), exist_ok=True)
        with open(self.blob(name) + ".incomplete", "wb") as file:
            file.write(content)

    def ranges(self):
        return [headers["Range"] for _, _, _, headers in self.hub.requests if "Range" in headers]


class Layout(PullTest):
    def test_a_model_lands_in_the_layout_of_the_hub_cache(self):
        out = self.pull_ok()
        self.assertEqual(out, self.inside("snapshots", COMMIT) + "\n")
        self.assert_complete()
        link = os.readlink(self.inside("snapshots", COMMIT, "weights.safetensors"))
        self.assertEqual(link, "../../blobs/" + self.hub.digest("weights.safetensors"))
        self.assertEqual(sorted(os.listdir(self.inside("snapshots"))), [COMMIT])

    def test_a_pulled_model_is_found_by_its_name(self):
        self.hub.files.clear()
        for name in os.listdir(self.model):
            with open(os.path.join(self.model, name), "rb") as file:
                self.hub.files[name] = file.read()
        self.hub.large = {"model.safetensors"}
        words = ("run", "-m", "org/model", "--temp", "0", "-n", "4", "hello")
        before = self.command(*words)
        self.assertEqual(before.returncode, 3)
        self.assertIn(b"gemma4 pull org/model", before.stderr)
        self.pull_ok()
        after = self.command(*words)
        self.assertEqual(after.returncode, 0, after.stderr)
        self.assertEqual(after.stdout.decode(), self.run_ok("-n", "4", "hello"))

    def test_only_files_that_the_program_reads_are_pulled(self):
        for name in ("README.md", "model.gguf", "x.pt", "picture.png", "onnx/config.json"):
            self.hub.files[name] = b"x"
        self.hub.files["tokenizer.model"] = self.hub.files["chat_template.jinja"] = b"y"
        self.pull_ok()
        self.assertEqual(sorted(os.listdir(self.inside("snapshots", COMMIT))),
                         ["chat_template.jinja", "config.json", "tokenizer.model",
                          "weights.safetensors"])

    def test_include_chooses_files_in_folders_too(self):
        self.hub.files["a/b c%/é.txt"] = b"deep"
        self.hub.files["a/other"] = b"other"
        self.pull_ok("--include", "*.txt", "--include", "config.*")
        self.assertEqual(self.content("a/b c%/é.txt"), b"deep")
        self.assertEqual(sorted(os.listdir(self.inside("snapshots", COMMIT))),
                         ["a", "config.json"])
        self.pull_ok("--include", "a/*")  # adds to the snapshot
        self.assertEqual(self.content("a/other"), b"other")
        self.assertEqual(self.content("config.json"), b"{}")
        self.assert_fails(2, "pull", "org/model", "--include", "*.none", says="--include")

    def test_revisions(self):
        self.pull_ok("--revision", "refs/pr/1")
        self.assertTrue(os.path.isfile(self.inside("refs", "refs", "pr", "1")))
        self.assertFalse(os.path.exists(self.inside("refs", "main")))
        self.assert_fails(3, "pull", "org/model@v9", says="no such revision")
        self.assert_fails(2, "pull", "org/model@main", "--revision", "main")
        done = self.command("pull", "org/model@" + COMMIT)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertFalse(os.path.exists(self.inside("refs", COMMIT)))

    def test_what_is_there_is_not_downloaded_again(self):
        self.pull_ok()
        self.hub.requests.clear()
        self.hub.files["new.json"] = b"new"
        self.pull_ok()
        self.assertEqual(len(self.hub.requests), 2)
        self.assertIn("new.json", self.hub.paths()[1])
        self.assert_complete()

    def test_one_content_under_two_names_is_downloaded_once(self):
        self.hub.files["copy.json"] = self.hub.files["config.json"]
        self.pull_ok()
        self.assertEqual(len([p for p in self.hub.paths() if p.endswith(".json")]), 1)
        self.assert_complete()

    def test_empty_files(self):
        self.hub.files["empty.json"] = b""
        self.pull_ok()
        self.assert_complete()

    def test_many_files_at_once(self):
        self.hub.files.update({f"shard-{i}.safetensors": b"%d" % i * 5000 for i in range(40)})
        self.hub.large = {name for name in self.hub.files if "shard" in name}
        self.pull_ok("--jobs", "8")
        self.assert_complete()

    def test_a_listing_without_sizes_is_completed_by_asking(self):
        self.hub.details = False
        self.hub.files["renamed.json"] = b"within the Hub"
        self.pull_ok()
        self.assert_complete()
        self.assertEqual(sum(method == "HEAD" for _, method, _, _ in self.hub.requests), 4)
        self.assertNotIn("storage", [w for w, method, _, _ in self.hub.requests
                                     if method == "HEAD"])


class Reports(PullTest):
    def test_dry_run_changes_nothing(self):
        out = self.pull_ok("--dry-run")
        self.assertIn("weights.safetensors", out)
        self.assertIn("2 files, 1.0 MB, 1.0 MB to download\n", out)
        self.assertFalse(os.path.exists(self.cache))

    def test_json(self):
        self.leave_partial("weights.safetensors", WEIGHTS[:1000])
        plan = json.loads(self.pull_ok("--dry-run", "--json"))
        self.assertEqual(plan["download_bytes"], len(WEIGHTS) + 2 - 1000)
        report = json.loads(self.pull_ok("--json"))
        self.assertEqual(report, plan)
        self.assertEqual((report["id"], report["revision"], report["commit"]),
                         ("org/model", "main", COMMIT))
        self.assertEqual(report["directory"], self.inside("snapshots", COMMIT))
        self.assertEqual(report["files"][0], {
            "name": "config.json", "bytes": 2, "digest": self.hub.digest("config.json"),
            "present": False})
        again = json.loads(self.pull_ok("--json"))
        self.assertEqual((again["download_bytes"], again["files"][1]["present"]), (0, True))

    def test_nothing_on_stderr_where_it_is_no_terminal(self):
        self.assertEqual(self.pull().stderr, b"")


    def test_progress_on_a_terminal(self):
        self.hub.delay = 0.006
        leader, follower = pty.openpty()
        child = subprocess.Popen([BINARY, "pull", "org/model", "--jobs", "1"], env=self.env,
                                 stdout=subprocess.DEVNULL, stderr=follower)
        os.close(follower)
        shown = b""
        try:
            while piece := os.read(leader, 4096):
                shown += piece
        except OSError:
            pass  # the child has ended
        os.close(leader)
        self.assertEqual(child.wait(timeout=60), 0)
        self.assertRegex(shown, rb"pulling org/model \d+%, 0\.\d MB of 1\.0 MB, \d+ s left")
        self.assertTrue(shown.endswith(b"\r\x1b[K"), shown[-40:])


class Resuming(PullTest):
    def test_an_earlier_part_is_gone_on_with(self):
        self.leave_partial("weights.safetensors", WEIGHTS[:300_000])
        self.leave_partial("config.json", b"{")
        self.pull_ok()
        self.assert_complete()
        self.assertEqual(sorted(set(self.ranges())), ["bytes=1-", "bytes=300000-"])

    def test_a_whole_part_is_only_checked(self):
        self.leave_partial("weights.safetensors", WEIGHTS)
        self.pull_ok()
        self.assert_complete()
        self.assertNotIn("storage", [where for where, *_ in self.hub.requests])

    def test_a_part_that_is_too_long_is_thrown_away(self):
        self.leave_partial("weights.safetensors", WEIGHTS + b"x")
        self.pull_ok()
        self.assert_complete()

    def test_a_part_of_something_else_is_found_out_and_replaced(self):
        self.leave_partial("weights.safetensors", b"x" * 1000)
        self.pull_ok()
        self.assert_complete()

    def test_a_server_without_ranges_starts_again(self):
        self.hub.ranges = False
        self.leave_partial("weights.safetensors", WEIGHTS[:300_000])
        self.pull_ok()
        self.assert_complete()

    def test_cut_connections_go_on_where_they_were(self):
        self.hub.cuts["weights.safetensors"] = [100_000, 0, 500_000]
        self.pull_ok()
        self.assert_complete()
        storage = [r for r in self.hub.requests if r[0] == "storage"]
        self.assertEqual([r[3].get("Range") for r in storage],
                         [None, "bytes=100000-", "bytes=100000-", "bytes=600000-"])

    def test_a_line_that_stays_cut_is_given_up_and_keeps_the_part(self):
        self.hub.cuts["weights.safetensors"] = [1000] + [0] * 20
        self.pull_fails(5, says="goes on where it stopped")
        self.assertEqual(os.path.getsize(self.blob("weights.safetensors") + ".incomplete"), 1000)
        self.hub.cuts.clear()
        self.pull_ok()
        self.assert_complete()

    def stop_and_go_on(self, number, code):
        self.hub.delay = 0.02
        child = subprocess.Popen([BINARY, "pull", "org/model"], env=self.env,
                                 stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.assertTrue(self.hub.moving.wait(20))
        child.send_signal(number)
        out, err = child.communicate(timeout=20)
        self.assertEqual((child.returncode, out), (code, b""))
        self.assertIn(b"the same command goes on", err)
        self.assert_absent()
        self.assertTrue(os.path.exists(self.blob("weights.safetensors") + ".incomplete"))
        self.hub.delay = 0.0
        self.pull_ok()
        self.assert_complete()

    def test_interrupted(self):
        self.stop_and_go_on(signal.SIGINT, 130)

    def test_terminated(self):
        self.stop_and_go_on(signal.SIGTERM, 143)

    def test_two_pulls_at_once(self):
        self.hub.delay = 0.01
        child = subprocess.Popen([BINARY, "pull", "org/model"], env=self.env,
                                 stdout=subprocess.DEVNULL)
        self.assertTrue(self.hub.moving.wait(20))
        self.pull_fails(5, says="another pull of org/model is running")
        self.hub.delay = 0.0
        self.assertEqual(child.wait(timeout=60), 0)
        self.assert_complete()


class Tokens(PullTest):
    def setUp(self):
        super().setUp()
        self.hub.token = TOKEN

    def assert_token_stayed_home(self):
        for where, _, path, headers in self.hub.requests:
            if where == "storage":
                self.assertNotIn("Authorization", headers)
            self.assertNotIn(TOKEN, path)
        self.assertIn("storage", [where for where, *_ in self.hub.requests])

    def test_the_token_goes_to_the_hub_and_nowhere_else(self):
        self.pull_ok(env=self.surroundings(HF_TOKEN=TOKEN))
        self.assert_complete()
        self.assert_token_stayed_home()

    def test_token_files(self):
        file = self.write("token", TOKEN + "\n")
        self.pull_ok("--token-file", file, env=self.surroundings(HF_TOKEN="hf_other"))
        self.assert_token_stayed_home()
        os.makedirs(os.path.join(self.cache, "home"), exist_ok=True)
        os.rename(file, os.path.join(self.cache, "home", "token"))
        self.hub.files["another.json"] = b"z"
        self.pull_ok()
        self.assert_complete()

    def test_without_a_token(self):
        self.pull_fails(3, says=f"accept its licence at {self.hub.url}/org/model and set HF_TOKEN")

    def test_a_token_that_may_not(self):
        done = self.pull(env=self.surroundings(HF_TOKEN="hf_other"))
        self.assertEqual(done.returncode, 3)
        self.assertIn(b"(HTTP 403)", done.stderr)
        self.assertNotIn(b"hf_other", done.stderr)

    def test_no_tokens(self):
        self.pull_fails(4, "--token-file", "/nowhere/token", says="/nowhere/token")
        self.pull_fails(4, "--token-file", self.write("empty", "\n"))
        self.pull_fails(4, env=self.surroundings(HF_TOKEN="a\nHost: b"), says="HF_TOKEN")

    def test_no_token_over_plain_http(self):
        env = self.surroundings(HF_TOKEN=TOKEN)
        self.pull_fails(5, "--endpoint", "http://gemma4.invalid", env=env, says="not https")


class Refusals(PullTest):
    def fail_with(self, where, *statuses, **headers):
        self.hub.failures[where] = [(status, headers) for status in statuses]

    def test_not_found(self):
        self.assert_fails(3, "pull", "org/none", says="HTTP 404")
        self.fail_with("resolve", *[404] * 2)
        self.pull_fails(3, says="HTTP 404")

    def test_a_busy_server_is_asked_again_when_it_says(self):
        self.hub.failures["hub:/api"] = [(429, {"Retry-After": "1"}), (503, {})]
        self.fail_with("storage:", 500)
        done = self.pull()
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(done.stderr.count(b"\n"), 1)
        self.assertIn(b"HTTP 429", done.stderr)
        self.assert_complete()

    def test_a_server_that_wants_us_to_wait_an_hour(self):
        self.hub.failures["hub:/api"] = [(429, {"Retry-After": "3600"})]
        self.pull_fails(5, says="wait 3600 s")

    def test_an_address_of_the_storage_that_ran_out_is_renewed(self):
        self.fail_with("storage:", 403)
        self.pull_ok()
        self.assertEqual(sum("weights" in path for path in self.hub.paths("hub")), 2)

    def test_nobody_there(self):
        self.hub.close()
        self.pull_fails(5, says="check the network")

    def test_wrong_checksums(self):
        for name in self.hub.files:
            with self.subTest(name=name):
                shutil.rmtree(self.cache, ignore_errors=True)
                right = self.hub.files[name]
                self.hub.content = {name: right[:-1] + b"?"}
                self.pull_fails(3, says="wrong checksum: " + name)
                self.assertFalse(os.path.exists(self.blob(name)))
        self.hub.content = {}
        self.pull_ok()
        self.assert_complete()

    def test_more_or_less_than_was_named(self):
        name = "weights.safetensors"
        self.hub.content = {name: WEIGHTS + b"x"}
        self.pull_fails(3, says="more than")
        os.unlink(self.blob(name) + ".incomplete")
        self.hub.content = {name: WEIGHTS[:-1]}
        done = self.pull()
        self.assertIn(done.returncode, (3, 5))
        self.assert_absent()

    def test_headers_that_contradict_the_listing(self):
        def other_digest(listing):
            listing["siblings"][1]["lfs"]["sha256"] = "0" * 64
            return listing
        self.hub.listing = other_digest
        self.pull_fails(3, says="contradicts itself on the checksum")

    def test_hostile_listings(self):
        def renamed(name):
            return lambda listing: {**listing, "siblings": [
                {"rfilename": name, "size": 2, "blobId": "0" * 40}]}
        def changed(**fields):
            return lambda listing: {**listing, "siblings": [
                {"rfilename": "a.json", "size": 2, "blobId": "0" * 40, **fields}]}
        hostile = [renamed(name) for name in (
            "../../../evil.json", "/etc/evil.json", "a/../b.json", "a//b.json", "./a.json",
            "a\0b.json", "a\nb.json", "a\\b.json", "", "x" * 300 + ".json", "a/", 7, None)]
        hostile += [changed(size=-1), changed(size=2**63), changed(size=1.5), changed(size="2"),
                    changed(blobId="../../x"), changed(blobId="0" * 64), changed(lfs=[]),
                    changed(lfs={"sha256": "A" * 64, "size": 2})]
        hostile += [lambda listing, sha=sha: {**listing, "sha": sha}
                    for sha in ("../..", "", None, 3, COMMIT.upper())]
        hostile += [lambda listing: b"[" * 100_000, lambda listing: b"{", lambda listing: b"[]",
                    lambda listing: b"\xff", lambda listing: {"sha": COMMIT},
                    lambda listing: {**listing, "siblings": listing["siblings"] * 2}]
        for number, listing in enumerate(hostile):
            with self.subTest(number=number):
                self.hub.listing = listing
                self.pull_fails(3)
        self.assertEqual([p for p in self.hub.paths() if "/resolve/" in p and "a.json" not in p],
                         [])

    def test_a_commit_that_is_not_the_one_asked_for(self):
        self.hub.listing = lambda listing: {**listing, "sha": "f" * 40}
        self.pull_fails(3, "--revision", COMMIT, says="another commit")

    def test_more_than_the_disk_holds(self):
        self.hub.listing = lambda listing: {**listing, "siblings": [
            {"rfilename": "a.json", "size": 2**50, "blobId": "0" * 40}]}
        self.pull_fails(5, says="the disk is too full")

    def test_a_disk_that_takes_no_more_keeps_the_part(self):
        def small_files():
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        self.pull_fails(5, says="what was downloaded stays", preexec_fn=small_files)
        self.assertEqual(os.path.getsize(self.blob("weights.safetensors") + ".incomplete"), 100_000)
        self.pull_ok()
        self.assert_complete()

    def test_a_cache_that_cannot_be_written(self):
        self.cache = self.write("file", "x")
        self.env = self.surroundings()
        done = self.pull()
        self.assertEqual(done.returncode, 5, done.stderr)

    def test_usage(self):
        for words in (("../x",), ("a/b/c",), ("org/model@",), ("org/model@../x",), ("demo",),
                      ("org/model", "--revision", "../x"), ("org/model", "--jobs", "0"),
                      ("org/model", "--endpoint", "ftp://x"), ("org/model", "--endpoint", "x"),
                      ("org/model", "--endpoint", "https://user:pass@x"), ()):
            with self.subTest(words=words):
                self.assert_fails(2, "pull", *words)
        self.assertEqual(self.hub.requests, [])


if __name__ == "__main__":
    unittest.main()
