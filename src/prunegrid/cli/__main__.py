from prunegrid.cli.app import main

main()
