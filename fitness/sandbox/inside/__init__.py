"""What runs inside the sandbox: the fork server and the candidates that it forks.

Started with this folder's parent on the path, so that it is the package `inside` there, and
nothing else of ours can be imported: relative imports, the standard library and numpy only.
"""
