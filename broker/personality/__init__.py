"""What older Kafkas advertised and served, for clients that expect it: `kwire serve --as-version 2.8`.

Nothing of this is loaded for the current release. Records are stored in format 2 whatever the release; old formats
exist between an old client and here only.
"""
