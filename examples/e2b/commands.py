"""Commands: their output as it comes, in the background, with input, and stopped."""

from e2b import CommandExitException, Sandbox, TimeoutException

with Sandbox.create() as sandbox:
    result = sandbox.commands.run("ls -d /home/user && echo careful >&2")
    print(result.exit_code, result.stdout.strip(), result.stderr.strip())

    # as it is printed
    sandbox.commands.run(
        "for step in 1 2 3; do echo step $step; sleep 0.1; done",
        on_stdout=lambda text: print("->", text.strip()),
    )

    # one that fails says how
    try:
        sandbox.commands.run("cat /nowhere")
    except CommandExitException as error:
        print("failed with", error.exit_code)

    # in the background, with input
    adder = sandbox.commands.run(
        "while read a b; do echo $((a + b)); done", background=True, stdin=True
    )
    print("commands:", [process.args[-1][:10] for process in sandbox.commands.list()])
    sandbox.commands.send_stdin(adder.pid, "2 3\n20 30\n")
    adder.close_stdin()
    print(adder.wait().stdout.split())

    # left alone, and taken up again by its number
    ticking = sandbox.commands.run("sleep 0.3; echo tick", background=True)
    ticking.disconnect()
    print(sandbox.commands.connect(ticking.pid).wait().stdout.strip())

    # stopped by hand, and by time
    sleeper = sandbox.commands.run("sleep 600", background=True)
    print("killed:", sandbox.commands.kill(sleeper.pid))
    try:
        sandbox.commands.run("sleep 600", timeout=0.5)
    except TimeoutException:
        print("too slow")
